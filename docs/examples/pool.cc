#include <wshare/runtime.h>

#include <cstring>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 4) return std::cerr << "usage: pool BUNDLE MODEL N\n", 2;
  wshare::Bundle bundle = wshare::Bundle::open(argv[1]);
  std::vector<wshare::Session> pool;
  for (int i = std::stoi(argv[3]); i > 0; --i) pool.push_back(bundle.session(argv[2]));
  Ort::IoBinding binding(*pool.at(0));  // one run with zeros, as with any Ort::Session
  Ort::AllocatorWithDefaultOptions heap;
  for (size_t i = 0; i < pool[0]->GetInputCount(); ++i) {
    Ort::TypeInfo type = pool[0]->GetInputTypeInfo(i);
    auto info = type.GetTensorTypeAndShapeInfo();
    std::vector<int64_t> dims = info.GetShape();
    for (int64_t& dim : dims) dim = dim < 0 ? 1 : dim;  // -1 stands for any size
    Ort::Value in = Ort::Value::CreateTensor(heap, dims.data(), dims.size(), info.GetElementType());
    std::memset(in.GetTensorMutableRawData(), 0, in.GetTensorSizeInBytes());
    binding.BindInput(pool[0]->GetInputNames()[i].c_str(), in);
  }
  for (auto& name : pool[0]->GetOutputNames()) binding.BindOutput(name.c_str(), heap.GetInfo());
  pool[0]->Run(Ort::RunOptions(), binding);
  std::cout << pool.size() << " sessions, " << bundle.report().models[0].shared_bytes << " bytes\n";
}
