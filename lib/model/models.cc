#include "wshare/models.h"

#include <algorithm>
#include <map>
#include <set>

#include "util/distinct_names.h"
#include "util/paths.h"
#include "util/suggest.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "util/visible.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

bool is_model_name(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return extension == ".onnx";
}

// Why a file in a folder that was given is left out; empty: it is not.
std::string reason_to_leave_out(const fs::directory_entry& entry) {
  std::error_code ignored;
  if (entry.path().filename().string()[0] == '.') return "is hidden";
  if (entry.is_symlink(ignored) && !entry.exists(ignored)) {
    return "is a link to " + in_quotes(fs::read_symlink(entry.path(), ignored).string()) +
           ", and there is no such file";
  }
  return "";
}

// What a folder without models holds instead.
std::string hint_of_folder(const fs::path& folder, bool left_out) {
  std::error_code ignored;
  if (fs::exists(folder / "saved_model.pb", ignored))
    return "it is a SavedModel of TensorFlow: convert it to ONNX first";
  if (left_out) return "hidden files and links that lead nowhere do not count";
  return "folders in it are looked into with --recursive";
}

// Collects the models in a folder.
class FolderWalk {
 public:
  explicit FolderWalk(bool recursive) : recursive_(recursive) {}

  // Adds what `folder` has to the models and to `others`, lines on what is left out.
  void walk(const fs::path& folder) {
    std::vector<fs::path> folders;
    std::error_code error, ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      if (entry.is_directory(ignored)) {
        if (may_enter(entry)) folders.push_back(entry.path());
        continue;
      }
      if (!is_model_name(entry.path())) continue;
      const std::string reason = reason_to_leave_out(entry);
      if (reason.empty()) {
        models.push_back(entry.path());
      } else {
        others.push_back(in_quotes(entry.path().string()) + ": " + reason + ": left out");
      }
    }
    if (error)
      throw Error(ErrorCode::kIo, in_quotes(folder.string()) + ": cannot read: " + error.message());
    for (const fs::path& each : folders) walk(each);
  }

  std::vector<fs::path> models;
  std::vector<std::string> others;

 private:
  // A link may lead back to a folder around it.
  bool may_enter(const fs::directory_entry& entry) {
    std::error_code ignored;
    if (!recursive_ || entry.path().filename().string()[0] == '.') return false;
    if (!entry.is_symlink(ignored)) return true;
    others.push_back(in_quotes(entry.path().string()) + ": is a link to a folder: left out");
    return false;
  }

  bool recursive_;
};

std::vector<fs::path> models_in(const fs::path& folder, const ResolveOptions& options) {
  FolderWalk found(options.recursive);
  found.walk(folder);
  if (found.models.empty()) {
    throw Error(ErrorCode::kInvalid, in_quotes(folder.string()) + ": holds no .onnx file",
                hint_of_folder(folder, !found.others.empty()));
  }
  std::sort(found.models.begin(), found.models.end());
  std::sort(found.others.begin(), found.others.end());
  if (options.left_out != nullptr)
    options.left_out->insert(options.left_out->end(), found.others.begin(), found.others.end());
  return std::move(found.models);
}

[[noreturn]] void fail_missing(const fs::path& path, const std::string& hint) {
  std::error_code ignored;
  const fs::path target = fs::read_symlink(path, ignored);
  if (target.empty())
    throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": no such file", hint);
  throw Error(ErrorCode::kIo,
              in_quotes(path.string()) + ": is a link to " + in_quotes(target.string()) +
                  ", and there is no such file",
              "get the file again: a cache that was cleared leaves such links");
}

// "did you mean 'models/decoder.onnx'?" if there is such a file.
std::string hint_of_neighbours(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (is_model_name(entry.path())) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  const std::string meant = nearest(path.filename().string(), names);
  if (meant.empty() || meant == path.filename().string()) return "";
  return "did you mean " + in_quotes((path.parent_path() / meant).string()) + "?";
}

// Models of one set of names: those that stand on the command line, or those of NAME=folder.
struct Group {
  std::vector<ModelInput> models;
  std::vector<bool> named;  // parallel: NAME=file
};

// Returns by stem the numbers of the models without a name that have it, where others have it, too.
std::map<std::string, std::vector<size_t>> same_stems(const Group& group) {
  std::set<std::string> names;
  std::map<std::string, std::vector<size_t>> result;
  for (size_t i = 0; i < group.models.size(); ++i) {
    if (group.named[i]) {
      names.insert(group.models[i].name);
    } else {
      result[group.models[i].name].push_back(i);
    }
  }
  std::erase_if(result, [&](const auto& each) {
    return each.second.size() == 1 && !names.contains(each.first);
  });
  return result;
}

// Gives models whose stems collide names that tell them apart.
void tell_apart(Group& group) {
  const std::map<std::string, std::vector<size_t>> same = same_stems(group);
  std::map<std::string, size_t> uses;
  for (const auto& [stem, numbers] : same) {
    std::vector<fs::path> folders;
    for (const size_t i : numbers)
      folders.push_back(fs::absolute(group.models[i].path).lexically_normal().parent_path());
    const std::vector<std::string> names = distinct_names(folders);
    for (size_t k = 0; k < numbers.size(); ++k) group.models[numbers[k]].name = names[k];
  }
  for (const ModelInput& model : group.models) ++uses[model.name];
  for (const auto& [stem, numbers] : same) {
    const bool collides = std::any_of(numbers.begin(), numbers.end(),
                                      [&](size_t i) { return uses[group.models[i].name] > 1; });
    for (const size_t i : numbers) {
      if (collides) group.models[i].name += "-" + stem;
    }
  }
}

// A file may have any name, a model only one that other files can have, too. Two that differ no
// more get a number.
void make_safe(Group& group) {
  std::set<std::string> taken;
  for (const ModelInput& model : group.models) taken.insert(model.name);
  for (size_t i = 0; i < group.models.size(); ++i) {
    if (group.named[i] || is_file_name(group.models[i].name)) continue;
    const std::string safe = safe_file_name(group.models[i].name, kLongestFileName - 10);
    std::string name = safe;
    for (int number = 2; !taken.insert(name).second; ++number)
      name = safe + "_" + std::to_string(number);
    group.models[i].name = name;
  }
}

void require_unique(const std::vector<ModelInput>& models) {
  // A model is where it stands and what it says: external data lies beside it, so two links to one
  // file in two folders are two models.
  CanonicalPaths places;
  std::map<fs::path, fs::path> files;
  std::map<std::string, fs::path> names;
  for (const ModelInput& model : models) {
    if (!is_file_name(model.name)) {
      throw Error(
          ErrorCode::kInvalid,
          in_quotes(model.name) + ": cannot be the name of a model, it must do as a file name",
          "give it a name: NAME=" + visible(model.path.string()));
    }
    const auto [same, is_new_file] = files.try_emplace(places.place_of(model.path), model.path);
    if (!is_new_file) {
      throw Error(
          ErrorCode::kInvalid,
          in_quotes(model.path.string()) + ": is given twice" +
              (same->second == model.path ? "" : ", also as " + in_quotes(same->second.string())),
          "name each file once; copies and links are no obstacle");
    }
    const auto [other, is_new] = names.try_emplace(model.name, model.path);
    if (!is_new) {
      throw Error(ErrorCode::kInvalid,
                  in_quotes(model.name) + ": is the name of both " +
                      in_quotes(other->second.string()) + " and " + in_quotes(model.path.string()),
                  "name one of them: NAME=" + visible(model.path.string()));
    }
  }
}

}  // namespace

std::vector<ModelInput> resolve_inputs(const std::vector<std::string>& arguments,
                                       const ResolveOptions& options) try {
  Group all;
  const auto add = [](Group& group, const std::string& name, const fs::path& path, bool named) {
    std::error_code error;
    if (!fs::exists(path, error)) fail_missing(path, hint_of_neighbours(path));
    group.models.push_back({name, path});
    group.named.push_back(named);
  };
  for (const std::string& argument : arguments) {
    std::error_code ignored;
    const size_t equals = fs::exists(argument, ignored) ? argument.npos : argument.find('=');
    const fs::path path = equals == argument.npos ? argument : argument.substr(equals + 1);
    const std::string name = equals == argument.npos ? "" : argument.substr(0, equals);
    if (!fs::is_directory(path, ignored)) {
      const bool named = equals != argument.npos;
      add(all, named ? name : path.stem().string(), path, named);
      continue;
    }
    Group group;
    for (const fs::path& each : models_in(path, options))
      add(equals == argument.npos ? all : group, each.stem().string(), each, false);
    if (equals == argument.npos) continue;
    tell_apart(group);
    make_safe(group);
    for (const ModelInput& model : group.models)
      add(all, group.models.size() == 1 ? name : name + "-" + model.name, model.path, true);
  }
  tell_apart(all);
  make_safe(all);
  require_unique(all.models);
  return std::move(all.models);
} catch (const std::system_error& error) {
  throw_as_error(error);
}

ModelInput resolve_input(const std::string& argument) {
  std::vector<ModelInput> models = resolve_inputs({argument});
  if (models.size() == 1) return std::move(models[0]);
  throw Error(ErrorCode::kInvalid,
              in_quotes(argument) + ": holds " + std::to_string(models.size()) + " models",
              "name one file of them");
}

}  // namespace wshare
