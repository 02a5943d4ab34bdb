p2p_SRC  := nngfix.c url.c wire.c serve.c standing.c contacts.c reach.c double.c answer.c arrive.c pipes.c link.c push.c request.c book.c p2p.c
p2p_DEPS := session vrf base
p2p_LIBS := -lnng
