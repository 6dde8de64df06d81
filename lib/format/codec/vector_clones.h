#pragma once

// Compiles a function several times, for the widest vectors of the machine at hand; all clones give
// the same bits, since these functions keep the order of operations.
//
// Clones are chosen by resolvers that run before a sanitizer is set up, so its builds go without.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WSHARE_VECTOR_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define WSHARE_VECTOR_CLONES
#endif
