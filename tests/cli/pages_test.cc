// Help, docs/cli.md and manual pages say the same: each option of each command stands in all three.

#include <CLI/CLI.hpp>

#include "command_examples.h"
#include "command_table.h"
#include "man_page.h"
#include "support/cli_test.h"
#include "support/places.h"

namespace wshare::test {
namespace {

class Pages : public CliTest {
 protected:
  Pages() : guide_(read_file(std::string(kDocs) + "/cli.md")) {
    add_commands(app_, context_, action_);
    EXPECT_EQ(run({"pages", path("share")}), 0) << err_;
  }

  std::string man(const std::string& name) const {
    return read_file(temp_ / ("share/man/man1/" + name + ".1"));
  }

  // As a reader sees it.
  static std::string plain(std::string roff) {
    for (const char* mark : {"\\fB", "\\fR", "\\&"}) {
      for (size_t at; (at = roff.find(mark)) != std::string::npos;) roff.erase(at, 3);
    }
    for (size_t at; (at = roff.find("\\-")) != std::string::npos;) roff.erase(at, 1);
    return roff;
  }

  std::ostringstream out_stream_, err_stream_;
  Context context_{out_stream_, err_stream_};
  Action action_;
  CLI::App app_{"", "wshare"};
  std::string guide_;
};

TEST_F(Pages, HaveEachOptionInHelpAndGuideAndManual) {
  const std::string everywhere = section_of(guide_, "");
  for (const Command& command : commands()) {
    if (command.is_hidden()) continue;
    SCOPED_TRACE(command.name);
    EXPECT_NE(everywhere.find("wshare " + std::string(command.name)), std::string::npos);
    const std::string section = section_of(guide_, command.name);
    EXPECT_NE(section, "") << "no section in docs/cli.md";
    ASSERT_EQ(run({command.name, "--help"}), 0);
    EXPECT_NE(out_.find(command.usage), std::string::npos) << out_;
    const std::string manual = plain(man("wshare-" + std::string(command.name)));
    for (const CLI::Option* option : app_.get_subcommand(command.name)->get_options()) {
      const std::string name =
          option->get_positional() ? option->get_name() : "--" + option->get_lnames().at(0);
      EXPECT_NE(out_.find(name), std::string::npos) << name << " is not in help";
      EXPECT_NE(manual.find(name), std::string::npos) << name << " is not in the manual";
      EXPECT_NE(manual.find(plain(option->get_description()).substr(0, 20)), std::string::npos)
          << name;
      if (option->get_positional()) continue;
      EXPECT_NE((section + everywhere).find(name), std::string::npos)
          << name << " is not in docs/cli.md";
    }
  }
}

// Each command ends its help with command lines that it takes, and stands in a group.
TEST_F(Pages, ShowExamplesThatParse) {
  for (const Command& command : commands()) {
    if (command.is_hidden()) continue;
    SCOPED_TRACE(command.name);
    EXPECT_NE(group_of(command.name), "Commands");
    ASSERT_EQ(run({command.name, "--help"}), 0);
    EXPECT_FALSE(examples_of(command.name).empty());
    for (const char* line : examples_of(command.name)) {
      SCOPED_TRACE(line);
      EXPECT_NE(out_.find(line), std::string::npos) << out_;
      std::istringstream text(line);
      std::vector<std::string> words;
      for (std::string word; text >> word && !word.starts_with(">");) words.push_back(word);
      ASSERT_GE(words.size(), 2u);
      EXPECT_EQ(words[0], "wshare");
      EXPECT_EQ(words[1], command.name);
      Context context{out_stream_, err_stream_};
      Action action;
      CLI::App app{"", "wshare"};
      add_commands(app, context, action);
      const std::vector<std::string> reversed(words.rbegin(), std::prev(words.rend()));
      EXPECT_NO_THROW(app.parse(std::vector<std::string>(reversed)));
    }
  }
  ASSERT_EQ(run({"--help"}), 0);
  for (const char* group : {"Make bundles:", "Look into models and bundles:", "Run sessions:"})
    EXPECT_NE(out_.find(group), std::string::npos) << out_;
}

TEST_F(Pages, AreRoffThatManTakes) {
  if (std::system("command -v groff >/dev/null") != 0) GTEST_SKIP() << "NOT TESTED: no groff";
  for (const fs::directory_entry& page : fs::directory_iterator(temp_ / "share/man/man1")) {
    const std::string command = "groff -man -Tutf8 -ww -P-cbou '" + page.path().string() + "' 2>'" +
                                path("warnings") + "' >'" + path("text") + "'";
    EXPECT_EQ(std::system(command.c_str()), 0);
    EXPECT_EQ(read_file(temp_ / "warnings"), "") << page.path();
    EXPECT_NE(read_file(temp_ / "text").find("NAME"), std::string::npos);
  }
}

TEST(ToRoff, KeepsWhatMarkdownSays) {
  EXPECT_EQ(to_roff("a `b-c` **d** [e](f.md)\n"), "a \\fBb\\-c\\fR \\fBd\\fR e\n");
  EXPECT_EQ(to_roff(".x\n'y\n\\n\n"), "\\&.x\n\\&'y\n\\en\n");
  EXPECT_EQ(to_roff("| `a` | b |\n|---|---|\n"), ".TP\n\\fBa\\fR\nb\n");
  EXPECT_EQ(to_roff("- one\n  more\n"), ".IP \\(bu 2\none\nmore\n");
  EXPECT_EQ(to_roff("```\na*b\n```\n"), ".PP\n.nf\n\\fBa*b\\fR\n.fi\n");
}

}  // namespace
}  // namespace wshare::test
