#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <memory>

#include "cli.h"
#include "cli_guide.h"
#include "command_table.h"
#include "completion.h"
#include "man_page.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": cannot be written");
}

// Writes manual pages and completions below `folder`, where they lie below /usr/share.
int write_pages(const CLI::App& app, const fs::path& folder) {
  const std::string guide(kCliGuide);
  write(folder / "man/man1/wshare.1", man_page(app, "", guide));
  for (const Command& command : commands()) {
    if (command.is_hidden()) continue;
    const std::string name = command.name;
    write(folder / ("man/man1/wshare-" + name + ".1"), man_page(app, name, guide));
  }
  write(folder / "bash-completion/completions/wshare", completion_script(app, "bash"));
  write(folder / "zsh/vendor-completions/_wshare", completion_script(app, "zsh"));
  write(folder / "fish/vendor_completions.d/wshare.fish", completion_script(app, "fish"));
  return 0;
}

}  // namespace

// What the build calls to install manual pages and completions; hidden.
void add_pages(CLI::App& app, Context&, Action& action) {
  const auto folder = std::make_shared<std::string>();
  app.add_option("DIR", *folder, "The folder to write to")->required();
  app.callback([=, &app, &action] {
    action = [=, &app] { return write_pages(*app.get_parent(), *folder); };
  });
}

}  // namespace wshare
