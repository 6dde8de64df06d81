#include "wshare/models.h"

#include <algorithm>
#include <map>
#include <set>

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
  return "folders in it are not looked into: name them, or files";
}

std::vector<fs::path> models_in(const fs::path& folder, std::vector<std::string>& left_out) {
  std::vector<fs::path> found;
  std::vector<std::string> others;
  std::error_code error, ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (!is_model_name(entry.path()) || entry.is_directory(ignored)) continue;
    const std::string reason = reason_to_leave_out(entry);
    if (reason.empty()) {
      found.push_back(entry.path());
    } else {
      others.push_back(in_quotes(entry.path().string()) + ": " + reason + ": left out");
    }
  }
  if (error)
    throw Error(ErrorCode::kIo, in_quotes(folder.string()) + ": cannot read: " + error.message());
  if (found.empty()) {
    throw Error(ErrorCode::kInvalid, in_quotes(folder.string()) + ": holds no .onnx file",
                hint_of_folder(folder, !others.empty()));
  }
  std::sort(found.begin(), found.end());
  std::sort(others.begin(), others.end());
  left_out.insert(left_out.end(), others.begin(), others.end());
  return found;
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

// A file may have any name, a model only one that other files can have, too. Two that differ no
// more get a number.
void make_safe(std::vector<ModelInput>& models, const std::vector<bool>& named) {
  std::set<std::string> taken;
  for (const ModelInput& model : models) taken.insert(model.name);
  for (size_t i = 0; i < models.size(); ++i) {
    if (named[i] || is_file_name(models[i].name)) continue;
    const std::string safe = safe_file_name(models[i].name, kLongestFileName - 10);
    std::string name = safe;
    for (int number = 2; !taken.insert(name).second; ++number)
      name = safe + "_" + std::to_string(number);
    models[i].name = name;
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
                                       std::vector<std::string>* left_out) try {
  std::vector<ModelInput> models;
  std::vector<std::string> others;
  std::vector<bool> named;
  for (const std::string& argument : arguments) {
    std::error_code ignored;
    if (fs::is_directory(argument, ignored)) {
      for (const fs::path& path : models_in(argument, others))
        models.push_back({path.stem().string(), path});
    } else if (const size_t equals = argument.find('=');
               equals != std::string::npos && !fs::exists(argument, ignored)) {
      models.push_back({argument.substr(0, equals), argument.substr(equals + 1)});
      named.resize(models.size() - 1, false);
      named.push_back(true);
    } else {
      models.push_back({fs::path(argument).stem().string(), argument});
    }
  }
  named.resize(models.size(), false);
  std::map<std::string, int> uses;
  for (const ModelInput& model : models) {
    std::error_code error;
    if (!fs::exists(model.path, error)) fail_missing(model.path, hint_of_neighbours(model.path));
    ++uses[model.name];
  }
  for (size_t i = 0; i < models.size(); ++i) {
    if (named[i] || uses[models[i].name] == 1) continue;
    models[i].name = fs::absolute(models[i].path).parent_path().filename().string();
  }
  make_safe(models, named);
  require_unique(models);
  if (left_out != nullptr) *left_out = std::move(others);
  return models;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
