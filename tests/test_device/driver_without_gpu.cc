// The two functions of NVIDIA's driver by which wshare asks for a GPU, as they answer without one.

extern "C" int cuInit(unsigned) { return 100; }  // CUDA_ERROR_NO_DEVICE

extern "C" int cuDeviceGetCount(int* count) {
  *count = 0;
  return 3;  // CUDA_ERROR_NOT_INITIALIZED
}
