#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

#include "wshare/split_uses.h"
#include "wshare/tie_transposed.h"

namespace CLI {
class App;
}

namespace wshare {

// Options that commands which write bundles have in common. What each declares here sets its second
// argument, whose value is the default, and which must outlive the parsing.

// Declares --dry-run.
void add_dry_run_option(CLI::App& app, bool& dry_run);

// Declares --force, for commands that make a bundle.
void add_replace_option(CLI::App& app, bool& replace);

// Declares --min-bytes.
void add_min_bytes_option(CLI::App& app, uint64_t& min_bytes);

// Declares --split-device-uses.
void add_split_option(CLI::App& app, SplitUses& kinds);

// Declares --keep-identity.
void add_keep_identity_option(CLI::App& app, bool& keep);

// Declares --tie-transposed and --allow-other-bits.
void add_tie_options(CLI::App& app, TieTransposed& how, bool& other_bits);

// Says where files of others are that came into a replaced bundle and could not come along: in the
// folder `kept`, unless that is empty.
void say_kept(std::ostream& err, const std::string& kept);

// Declares --wait, in seconds, for commands that change a bundle.
void add_wait_option(CLI::App& app, std::chrono::milliseconds& wait);

}  // namespace wshare
