/* The version of every program. */
#ifndef POA_VERSION_H
#define POA_VERSION_H

#define POA_VERSION "0.1.0"

#endif
