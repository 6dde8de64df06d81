#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "support/files.h"
#include "util/file_calls.h"

namespace wshare::test {

using Arguments = std::vector<std::string>;

// A command that writes, in a folder with inputs. Paths are relative to that.
struct WritingCommand {
  // How much of its result may be seen of one that was killed.
  enum class Seen {
    kAllOrNothing,  // it appears in one step
    kOldOrNew,      // new files that nobody names may stand beside it
    kFileByFile,    // each file is old or new
  };

  const char* name;
  std::vector<Arguments> before;  // what makes the state in which it begins
  Arguments arguments;
  // After a kill, what ends where the command would have ended, and what only tidies up where it
  // had ended.
  Arguments again, tidy_up;
  Seen seen;
  size_t more_inputs = 0;  // models in the folder "many"
  void (*prepare)() = nullptr;  // called after `before`
};

inline std::ostream& operator<<(std::ostream& out, const WritingCommand& command) {
  return out << command.name;
}

// All commands of the program that write.
std::vector<WritingCommand> writing_commands();

// Files with their bytes, and folders, by their paths.
using State = std::map<std::string, std::string>;

// A folder with inputs, which becomes the current one; temporary files are made in it, too.
class Workplace {
 public:
  // Begins with the state in which `command` begins.
  explicit Workplace(const WritingCommand& command);
  ~Workplace();

  State now() const;
  const State& before() const { return before_; }

  // Goes back to the state before the command.
  void reset() const;

 private:
  TempFolder temp_;
  fs::path last_folder_;
  std::string last_temporary_;
  State before_;
};

struct Answer {
  int code;
  std::string said;
};

// True for a look at how much waits for the disk. In tests nothing ever does, or commands would
// sync now so, now so.
bool is_look_at_disk(const FileCall& call);

// True for what makes bytes or names durable, or begins to.
bool is_sync(const FileCall& call);

// A model whose weights the CPU's kernels pack; in builds with ONNX Runtime.
std::string model_to_pack();

// Runs the program in this process.
Answer run(const Arguments& arguments);

}  // namespace wshare::test
