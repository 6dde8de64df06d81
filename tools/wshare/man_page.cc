#include "man_page.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>
#include <vector>

#include "command_examples.h"
#include "command_table.h"
#include "version.h"

namespace wshare {
namespace {

// A line of text, as roff: "`code`" and "**strong**" become bold, "[text](link)" the text.
std::string inline_roff(const std::string& text) {
  std::string result;
  bool code = false, strong = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '`') {
      result += (code = !code) ? "\\fB" : "\\fR";
    } else if (!code && text.compare(i, 2, "**") == 0) {
      result += (strong = !strong) ? "\\fB" : "\\fR";
      ++i;
    } else if (const size_t end = text.find("](", i);
               !code && c == '[' && end != std::string::npos) {
      const size_t close = text.find(')', end);
      if (close == std::string::npos) return result + inline_roff(text.substr(i + 1));
      result += inline_roff(text.substr(i + 1, end - i - 1));
      i = close;
    } else if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  // A dot or a quote would begin a request.
  return result.starts_with(".") || result.starts_with("'") ? "\\&" + result : result;
}

// "| a | b |" -> a, b
std::vector<std::string> cells_of(const std::string& row) {
  std::vector<std::string> cells;
  size_t at = row.find('|');
  while (at != std::string::npos && at + 1 < row.size()) {
    const size_t end = std::min(row.find('|', at + 1), row.size());
    std::string cell = row.substr(at + 1, end - at - 1);
    cell.erase(0, cell.find_first_not_of(' '));
    cell.erase(cell.find_last_not_of(' ') + 1);
    cells.push_back(cell);
    at = end == row.size() ? std::string::npos : end;
  }
  return cells;
}

std::string row_roff(const std::string& row) {
  if (row.starts_with("|---")) return "";
  std::string text;
  const std::vector<std::string> cells = cells_of(row);
  for (size_t i = 0; i < cells.size(); ++i)
    text += (i == 0 ? ".TP\n" : i == 1 ? "\n" : "; ") + inline_roff(cells[i]);
  return text + "\n";
}

std::string option_roff(const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_snames())
    names += (names.empty() ? "" : ", ") + ("-" + name);
  for (const std::string& name : option.get_lnames())
    names += (names.empty() ? "" : ", ") + ("--" + name);
  if (option.get_positional()) names = option.get_name();
  const std::string value = option.get_positional() ? "" : value_name(option);
  const std::string& standard = option.get_default_str();
  return ".TP\n\\fB" + inline_roff(names) + "\\fR" +
         (value.empty() ? "" : " " + inline_roff(value)) + "\n" +
         inline_roff(option.get_description()) +
         (standard.empty() ? "" : " (default: " + inline_roff(standard) + ")") + "\n";
}

std::string header(const std::string& name, const std::string& summary, const std::string& usage) {
  return ".\\\" Made of the help and docs/cli.md by wshare.\n.TH " + name + " 1 \"\" \"wshare " +
         kVersion + "\"\n.SH NAME\n" + inline_roff(name) + " \\- " + inline_roff(summary) +
         "\n.SH SYNOPSIS\n\\fBwshare\\fR " + inline_roff(usage) + "\n";
}

std::string options_roff(const CLI::App& app) {
  std::string text = ".SH OPTIONS\n";
  for (const CLI::Option* option : app.get_options()) text += option_roff(*option);
  return text;
}

// The groups of help, in its order.
std::vector<std::string> groups() {
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    const std::string name = group_of(command.name);
    if (!command.is_hidden() && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  }
  return names;
}

std::string commands_roff(const std::string& group) {
  std::string text;
  for (const Command& command : commands()) {
    if (command.is_hidden() || group_of(command.name) != group) continue;
    text += std::string(".TP\n\\fBwshare\\-") + inline_roff(command.name) + "\\fR(1)\n" +
            inline_roff(command.summary) + "\n";
  }
  return text;
}

std::string examples_roff(const std::string& command) {
  const std::span<const char* const> examples = examples_of(command);
  if (examples.empty()) return "";
  std::string text = ".SH EXAMPLES\n.nf\n";
  for (const char* line : examples) text += inline_roff(std::string("`") + line + "`") + "\n";
  return text + ".fi\n";
}

}  // namespace

std::string section_of(const std::string& guide, const std::string& heading) {
  const std::string title = "\n## " + heading + "\n";
  const size_t begin = heading.empty() ? guide.find('\n') : guide.find(title);
  if (begin == std::string::npos) return {};
  const size_t text = heading.empty() ? begin + 1 : begin + title.size();
  return guide.substr(text, guide.find("\n## ", text - 1) - text);
}

std::string to_roff(const std::string& markdown) {
  std::istringstream lines(markdown);
  std::string roff;
  bool code = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      roff += (code = !code) ? ".PP\n.nf\n" : ".fi\n";
    } else if (code) {
      const std::string text = inline_roff("`" + line + "`");
      roff += text + "\n";
    } else if (line.empty()) {
      roff += ".PP\n";
    } else if (line.starts_with("|")) {
      roff += row_roff(line);
    } else if (line.starts_with("- ")) {
      roff += ".IP \\(bu 2\n" + inline_roff(line.substr(2)) + "\n";
    } else {
      roff += inline_roff(line.substr(line.find_first_not_of(' '))) + "\n";
    }
  }
  return roff;
}

std::string man_page(const CLI::App& app, const std::string& name, const std::string& guide) {
  const std::string see = ".SH SEE ALSO\n";
  if (const Command* command = find_command(name)) {
    const CLI::App& sub = *app.get_subcommand(name);
    return header("wshare-" + name, command->summary, name + " " + command->usage + " [OPTIONS]") +
           ".SH DESCRIPTION\n" + to_roff(section_of(guide, name)) + options_roff(sub) +
           examples_roff(name) + see + "\\fBwshare\\fR(1)\n";
  }
  std::string text =
      header("wshare", "store equal weights of many ONNX models once", "COMMAND [OPTIONS]") +
      ".SH DESCRIPTION\n" + to_roff(section_of(guide, "")) + options_roff(app) + ".SH COMMANDS\n";
  for (const std::string& next : groups()) {
    text += ".SS " + inline_roff(next) + "\n";
    text += commands_roff(next);
  }
  return text;
}

}  // namespace wshare
