#pragma once

#include <string>

namespace wshare {

// What the program writes its messages and results to.
struct Console {
  bool is_terminal = false;  // progress is drawn there
  bool has_color = false;    // a terminal that knows colours, and NO_COLOR is not set
  unsigned columns = 80;     // of that terminal
  unsigned out_columns = 0;  // of the terminal that results go to; 0: they go elsewhere
};

// Returns what stderr and stdout are. Source: https://no-color.org.
Console detect_console();

// Returns `text` in this colour, where the console has colours.
std::string in_red(const Console& console, const std::string& text);
std::string in_cyan(const Console& console, const std::string& text);

}  // namespace wshare
