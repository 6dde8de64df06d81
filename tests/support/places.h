#pragma once

namespace wshare::test {

// Where this build has what tests use. They stand in one source file, and not in definitions of
// the tests' own, so that the compiler's cache serves checkouts in other folders, too.
extern const char* const kTestdata;  // testdata/
extern const char* const kDocs;      // docs/
extern const char* const kProgram;   // the program wshare

// Libraries of the tests' own; not defined without ONNX Runtime.
extern const char* const kTestDeviceLibrary;  // the test device's provider
extern const char* const kTestDeviceDriver;   // its driver
extern const char* const kDriverWithoutGpu;   // NVIDIA's driver, where there is no GPU
extern const char* const kNeedsLostLibrary;   // a provider that cannot be loaded
extern const char* const kFailingOpen;        // to be preloaded: open() that fails
extern const char* const kOldOnnxRuntime;     // one that is too old for any use
extern const char* const kOlderOnnxRuntime;   // one that says that it is older than it is

}  // namespace wshare::test
