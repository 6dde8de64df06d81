#include "console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace wshare {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

std::string colored(const Console& console, const char* code, const std::string& text) {
  return console.has_color ? std::string("\x1b[") + code + "m" + text + "\x1b[0m" : text;
}

}  // namespace

Console detect_console() {
  Console console;
  console.is_terminal = ::isatty(STDERR_FILENO) == 1;
  if (!console.is_terminal) return console;
  const char* terminal = std::getenv("TERM");
  const bool is_dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  console.has_color = !is_dumb && !is_set("NO_COLOR");
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    console.columns = size.ws_col;
  return console;
}

std::string in_red(const Console& console, const std::string& text) {
  return colored(console, "1;31", text);
}

std::string in_cyan(const Console& console, const std::string& text) {
  return colored(console, "36", text);
}

}  // namespace wshare
