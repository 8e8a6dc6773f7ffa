"""Where `dg scaffold defs` puts components of this repository; the code location loads them."""
