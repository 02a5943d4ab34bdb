store_SRC  := records.c open.c write.c read.c
store_SRC  += audit.c known.c tail.c
store_DEPS := base
store_LIBS := -lleveldb
