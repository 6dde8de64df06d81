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

// Columns of the terminal behind `descriptor`; 80 where it does not say.
unsigned columns_behind(int descriptor) {
  winsize size{};
  const bool known = ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string colored(const Console& console, const char* code, const std::string& text) {
  return console.has_color ? std::string("\x1b[") + code + "m" + text + "\x1b[0m" : text;
}

}  // namespace

Console detect_console() {
  Console console;
  if (::isatty(STDOUT_FILENO) == 1) console.out_columns = columns_behind(STDOUT_FILENO);
  console.is_terminal = ::isatty(STDERR_FILENO) == 1;
  if (!console.is_terminal) return console;
  const char* terminal = std::getenv("TERM");
  const bool is_dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  console.has_color = !is_dumb && !is_set("NO_COLOR");
  console.columns = columns_behind(STDERR_FILENO);
  return console;
}

std::string in_red(const Console& console, const std::string& text) {
  return colored(console, "1;31", text);
}

std::string in_cyan(const Console& console, const std::string& text) {
  return colored(console, "36", text);
}

}  // namespace wshare
