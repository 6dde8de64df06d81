// N sessions over one copy of the weights on a device: device BUNDLE MODEL N PROVIDER [LIBRARY].
#include <wshare/error.h>
#include <wshare/runtime.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc < 5) return std::cerr << "usage: device BUNDLE MODEL N PROVIDER [LIBRARY]\n", 2;
  try {
    wshare::SessionOptions options;
    options.device = wshare::Device::open(argv[4], argc > 5 ? argv[5] : "");
    wshare::Bundle bundle = wshare::Bundle::open(argv[1]);
    std::vector<wshare::Session> pool;  // each to be used like an Ort::Session
    for (int i = std::stoi(argv[3]); i > 0; --i) pool.push_back(bundle.session(argv[2], options));
    const wshare::Report report = bundle.report();
    std::cout << pool.size() << " sessions on " << options.device->provider() << ": "
              << report.device_bytes() << " bytes for all, "
              << report.models.at(0).device->own_bytes << " bytes for each\n";
  } catch (const wshare::Error& error) {
    std::cerr << error.what() << "\nhint: " << error.hint() << '\n';
    return 1;
  }
}
