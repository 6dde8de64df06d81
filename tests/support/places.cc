#include "support/places.h"

namespace wshare::test {

const char* const kTestdata = WSHARE_TESTDATA;
const char* const kDocs = WSHARE_DOCS;
const char* const kProgram = WSHARE_PROGRAM;

#ifdef WSHARE_TEST_DEVICE
const char* const kTestDeviceLibrary = WSHARE_TEST_DEVICE;
const char* const kTestDeviceDriver = WSHARE_TEST_DEVICE_DRIVER;
const char* const kDriverWithoutGpu = WSHARE_DRIVER_WITHOUT_GPU;
const char* const kNeedsLostLibrary = WSHARE_NEEDS_LOST_LIBRARY;
const char* const kFailingOpen = WSHARE_FAILING_OPEN;
const char* const kOldOnnxRuntime = WSHARE_OLD_ONNXRUNTIME;
const char* const kOlderOnnxRuntime = WSHARE_OLDER_ONNXRUNTIME;
#endif

}  // namespace wshare::test
