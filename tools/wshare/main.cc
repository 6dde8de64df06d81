#include <iostream>
#include <string>
#include <vector>

#include "cli.h"
#include "util/interrupt.h"

int main(int argc, char** argv) {
  wshare::stop_cleanly_on_signals([](bool clean) {
    std::cerr << "wshare: interrupted; "
              << (clean ? "nothing half done stays behind\n"
                        : "some temporary files could not be deleted\n");
  });
  return wshare::run_cli(std::vector<std::string>(argv + 1, argv + argc), std::cout, std::cerr,
                         "/proc/self/exe", wshare::detect_console());
}
