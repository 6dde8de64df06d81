#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "cli.h"
#include "util/interrupt.h"
#include "wshare/error.h"

int main(int argc, char** argv) {
  // ONNX Runtime 1.29 for Linux keeps a database of telemetry in the user's cache folder, to be
  // sent, and leaves an empty file in TMPDIR. A command line tool does neither unless it is asked
  // to.
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);
  // Beyond `ulimit -f` a write fails with EFBIG, which says what is wrong and leaves nothing
  // behind.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    wshare::stop_cleanly_on_signals([](bool clean) {
      std::cerr << "wshare: interrupted; "
                << (clean ? "nothing half done stays behind\n"
                          : "some temporary files could not be deleted\n");
    });
  } catch (const std::system_error& error) {
    std::cerr << "wshare: no thread can be started: " << error.what() << '\n';
    return static_cast<int>(wshare::ErrorCode::kIo);
  }
  return wshare::run_cli(std::vector<std::string>(argv + 1, argv + argc), std::cout, std::cerr,
                         "/proc/self/exe", wshare::detect_console());
}
