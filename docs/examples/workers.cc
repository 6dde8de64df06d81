// One process per worker, all over one bundle: workers BUNDLE MODEL N. With packs (wshare pack) all
// weights lie in the page cache, once for all processes.
#include <sys/wait.h>
#include <unistd.h>
#include <wshare/error.h>
#include <wshare/runtime.h>

#include <iostream>

// What a worker does; opened after fork(), since threads of ONNX Runtime do not survive it.
static int work(const char* folder, const char* model) try {
  wshare::Bundle bundle = wshare::Bundle::open(folder);
  wshare::Session session = bundle.session(model);  // and serve from here
  const std::string line = "worker " + std::to_string(getpid()) + ": " +
                           std::to_string(bundle.report().models.at(0).shared_bytes) + " bytes\n";
  return write(STDOUT_FILENO, line.data(), line.size()) > 0 ? 0 : 1;
} catch (const wshare::Error& error) {
  std::cerr << error.what() << "\nhint: " << error.hint() << '\n';
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 4) return std::cerr << "usage: workers BUNDLE MODEL N\n", 2;
  for (int i = std::stoi(argv[3]); i > 0; --i) {
    if (fork() == 0) return work(argv[1], argv[2]);
  }
  int failed = 0;
  for (int status = 0; wait(&status) > 0;) failed += status != 0 ? 1 : 0;
  return failed == 0 ? 0 : 1;
}
