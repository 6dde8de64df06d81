#pragma once

namespace wshare::blas {

// What OpenBLAS needs of a process's memory. Where it gets none, it tries again for ever; where it
// cannot start a thread, it ends the process (0.3.21, driver/others): so we look before it does.

// Loads `library` with all its threads where there is memory for them, else with none. Returns what
// dlopen() does, null for all other failures.
//
// Throws Error(kIo) if there is not enough memory for one thread.
void* load_openblas(const char* library);

// Returns how many of `wanted` further buffers there is address space for.
unsigned buffers_in_reach(unsigned wanted);

// Throws the Error(kIo) that says that there is no memory for OpenBLAS.
[[noreturn]] void refuse_for_memory();

}  // namespace wshare::blas
