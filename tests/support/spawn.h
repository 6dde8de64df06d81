#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/places.h"

extern char** environ;

namespace wshare::test {

// Starts wshare with `arguments`; it writes to the files "out" and "err" in `folder`. `environment`
// is what it gets beside ours: "NAME=value".
inline pid_t spawn_wshare(std::vector<std::string> arguments, const std::filesystem::path& folder,
                          std::vector<std::string> environment = {}) {
  arguments.insert(arguments.begin(), "wshare");
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (std::string& text : texts) result.push_back(text.data());
    return result;
  };
  std::vector<char*> argv = pointers(arguments), env = pointers(environment);
  argv.push_back(nullptr);
  for (char** variable = environ; *variable != nullptr; ++variable) env.push_back(*variable);
  env.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int descriptor : {1, 2}) {
    posix_spawn_file_actions_addopen(&actions, descriptor,
                                     (folder / (descriptor == 1 ? "out" : "err")).c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0666);
  }
  pid_t child = 0;
  EXPECT_EQ(posix_spawn(&child, kProgram, &actions, nullptr, argv.data(), env.data()), 0);
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

}  // namespace wshare::test
