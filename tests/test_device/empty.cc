// A library of nothing: only what it is linked with matters (tests/CMakeLists.txt).
