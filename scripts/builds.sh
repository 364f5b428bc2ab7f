# How the drills build the daemons that they update. To be sourced after sources.sh.
# shellcheck shell=bash

# As debian/rules does, and with the password database: that is where the security release changes the daemon's code.
build_memcached() {
  ./configure -q --enable-sasl --enable-sasl-pwdb --enable-tls CFLAGS='-O2 -g' && make -j"$jobs" memcached
}

# As debian/rules does, but for what needs more packages (systemd, lzf); -O2 instead of upstream's -O3.
build_redis() {
  make -C src -j"$jobs" OPTIMIZATION=-O2 USE_JEMALLOC=yes USE_SYSTEM_JEMALLOC=yes BUILD_TLS=yes \
    redis-server redis-cli redis-benchmark
}

# Upstream's next release, with the same options: it calls one function of jemalloc in more files than the patch reaches.
build_next_redis() {
  sed -i 's/^#define zmalloc_size(p) malloc_usable_size(p)$/&\n#define je_mallctl mallctl/' src/zmalloc.h
  make -C src -j"$jobs" OPTIMIZATION=-O2 USE_JEMALLOC=yes USE_SYSTEM_JEMALLOC=yes BUILD_TLS=yes redis-server
}
