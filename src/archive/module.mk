archive_SRC  := records.c file.c make.c snapshot.c verify.c load.c check.c
archive_DEPS := store ledger witness session vrf base
archive_LIBS :=
