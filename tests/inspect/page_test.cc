// The page of `wshare inspect --html`, but for what a browser makes of it (report_browser.py).

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "inspect/output_fixture.h"
#include "inspect_page.h"
#include "page_tensors.h"
#include "support/places.h"
#include "wshare/extract_lora.h"

namespace wshare {
namespace {

using nlohmann::json;
using test::Arguments;
using test::noise;
using test::Proto;
using test::raw;

class InspectPage : public test::InspectOutput {
 protected:
  std::string page() const { return test::read_file(temp_ / "report.html"); }
  Arguments html() const { return {"--html", (temp_ / "report.html").string()}; }
};

// What a browser reads as JSON in `page`.
json data_of(const std::string& page) {
  const std::string begin = "<script type=\"application/json\" id=\"data\">";
  const size_t from = page.find(begin) + begin.size();
  return json::parse(page.substr(from, page.find("</script>", from) - from));
}

// The names in a page's table of tensors, as its script reads them.
std::vector<std::string> names_of(const json& tensors) {
  std::vector<std::string> names;
  for (const json& packed : tensors.at("names")) {
    if (packed.is_string()) {
      names.push_back(packed);
      continue;
    }
    std::string& name = names.emplace_back();
    size_t number = 0;
    for (const char c : tensors.at("patterns")[packed[0].get<size_t>()].get<std::string>()) {
      name += c == '\x01' ? packed[++number].dump() : std::string(1, c);
    }
  }
  return names;
}

TEST_F(InspectPage, HasTheNumbersOfTheJson) {
  const std::string trunk = noise(5000, 1);
  add("a.onnx", {raw("trunk", trunk), raw("v", noise(2000, 2)), raw("v2", noise(2000, 2))});
  add("b.onnx", {raw("body", trunk), raw("bias", "abc")});
  const json numbers = object({"in"});
  ASSERT_EQ(run({"in"}, html()), 0) << err_;
  EXPECT_NE(out_.find("files -> a bundle"), std::string::npos);  // the text comes as without --html
  const json data = data_of(page());
  EXPECT_EQ(data.at("schema"), "wshare.inspect-page/1");
  EXPECT_EQ(data.at("input_bytes"), numbers.at("input_bytes"));
  EXPECT_EQ(data.at("bundle_bytes"), numbers.at("predicted_bundle_bytes"));
  EXPECT_EQ(data.at("matrix").at("bytes"), numbers.at("matrix"));
  EXPECT_EQ(data.at("models")[1].at("shared_bytes"), 5000);
  EXPECT_EQ(data.at("findings").size(), 2u);
  EXPECT_EQ(data.at("findings")[0].at("title"), "stored more than once in one model");
  const json& tensors = data.at("tensors");
  EXPECT_EQ(tensors.at("left_out").at("tensors"), 0);
  ASSERT_EQ(tensors.at("rows").size(), 3u);  // the largest first, each content once
  const json& first = tensors.at("rows")[0];
  const auto form_of = [&](size_t row) {
    return tensors.at("forms")[tensors.at("rows")[row][1].get<size_t>()];
  };
  const auto word = [&](const json& number) { return tensors.at("words")[number.get<size_t>()]; };
  EXPECT_EQ(tensors.at("names")[first[0].get<size_t>()], "trunk");
  EXPECT_EQ(word(form_of(0)[2]), "5000");
  EXPECT_EQ(form_of(0)[5], 5000);
  EXPECT_EQ(tensors.at("sets")[first[2].get<size_t>()], json({0, 1}));
  EXPECT_EQ(tensors.at("rows")[1][2][1], 2);  // v and v2
  EXPECT_EQ(word(form_of(2)[4]), "below-min-bytes");
}

TEST_F(InspectPage, IsTheSameForAnyNumberOfThreads) {
  for (const char* name : {"a.onnx", "b.onnx"}) {
    add(name, {raw("w", noise(5000, 1)), raw("v", noise(3000, static_cast<uint32_t>(name[0])))});
  }
  ASSERT_EQ(run({"in"}, html()), 0) << err_;
  const std::string first = page();
  Arguments options = html();
  options.insert(options.end(), {"-j", "1"});
  ASSERT_EQ(run({"in"}, options), 0) << err_;  // a report may be made again
  EXPECT_EQ(page(), first);
}

TEST_F(InspectPage, SaysWhatItIsOfAndFromWhen) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  ::setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  ASSERT_EQ(run({"in", "in/a.onnx"}, html()), 4) << "given twice";
  ASSERT_EQ(run({"in"}, html()), 0) << err_;
  ::unsetenv("SOURCE_DATE_EPOCH");
  const json data = data_of(page());
  EXPECT_EQ(data.at("date"), "2023-11-14");
  EXPECT_EQ(data.at("inspected").at("paths"), json({path("in")}));
  std::vector<std::string> paths;
  for (int i = 0; i < 1000; ++i) paths.push_back("folder/model" + std::to_string(i) + ".onnx");
  const json many = data_of(to_html(Inspection(), 1024, {paths, ""})).at("inspected");
  EXPECT_EQ(many.at("paths").size(), 20u);
  EXPECT_EQ(many.at("more"), 980);
  Inspection models;
  models.models.resize(600);  // more than a page lists
  for (InspectedModel& model : models.models) model.own_bytes = 10;
  models.matrix.clear();
  const json listed = data_of(to_html(models, 1024, {}));
  EXPECT_EQ(listed.at("models").size(), 500u);
  EXPECT_EQ(listed.at("own_bytes"), 6000);
}

TEST_F(InspectPage, SaysOfEachFindingWhatToDo) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  ASSERT_EQ(run({"in"}, html()), 0) << err_;
  for (const FindingKind& kind : finding_kinds())
    EXPECT_NE(page().find(std::string("\n  ") + kind.id + ": \""), std::string::npos) << kind.id;
}

TEST(InspectPageParts, CountPacksAdaptersAndArchives) {
  Inspection inspection;
  inspection.bundle = "bundle";
  inspection.blobs = {{"shared.bin", 1000, {"a"}, false}, {"packed.bin", 500, {"a"}, true}};
  inspection.packs = {{"a", "a.packed.onnx", 480, 450, "1.29.0", "cpu", "all", true}};
  inspection.tasks.push_back({});
  inspection.tasks[0].adapter_bytes = 70;
  inspection.tasks[0].residual_bytes = 5;
  inspection.archived = {{"old", "a", 900, 90}};
  const json data = data_of(to_html(inspection, 1024, {}));
  EXPECT_EQ(data.at("pack_bytes"), 500);
  EXPECT_EQ(data.at("adapter_bytes"), 75);
  EXPECT_EQ(data.at("archive_bytes"), 90);
  EXPECT_EQ(data.at("packs"), json({{{"model", "a"},
                                     {"bytes", 480},
                                     {"packed_bytes", 450},
                                     {"onnxruntime", "1.29.0"},
                                     {"current", true}}}));
  EXPECT_EQ(data.at("archived")[0].at("archived_bytes"), 90);
}

TEST_F(InspectPage, RefusesToReplaceWhatIsNoReport) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  const std::string model = test::read_file(temp_ / "in/a.onnx");
  EXPECT_EQ(run({"in"}, {"--html", (temp_ / "in/a.onnx").string()}), 3);
  EXPECT_NE(err_.find("is no report"), std::string::npos) << err_;
  EXPECT_EQ(test::read_file(temp_ / "in/a.onnx"), model);
  EXPECT_EQ(run({"in"}, {"--html", (temp_ / "none/report.html").string()}), 3);
  EXPECT_NE(err_.find("\nhint: make the folder first\n"), std::string::npos) << err_;
  EXPECT_EQ(run({"in"}, {"--html", (temp_ / "in").string()}), 3);
  EXPECT_NE(err_.find("\nhint: give the name of a file"), std::string::npos) << err_;
  EXPECT_EQ(out_, "");
  EXPECT_EQ(test::files_in(temp_.path()).size(), 1u);
}

TEST_F(InspectPage, KeepsHostileNamesInsideItsJson) {
  const std::vector<std::string> names = {"</script><script>alert(1)</script>", "<!--",
                                          std::string("\xff\xfe", 2), "\"quotes' & @DATA@",
                                          std::string(65536, 'n')};
  std::vector<Proto> tensors;
  for (size_t i = 0; i < names.size(); ++i) {
    tensors.push_back(raw(names[i], noise(2000, static_cast<uint32_t>(i))));
  }
  add("a.onnx", tensors);
  ASSERT_EQ(run({"in"}, html()), 0) << err_;
  const std::string text = page();
  EXPECT_EQ(text.find("alert(1)<"), std::string::npos);
  EXPECT_EQ(text.find("\xff"), std::string::npos);
  const std::vector<std::string> found = names_of(data_of(text).at("tensors"));
  ASSERT_EQ(found.size(), 5u);
  EXPECT_EQ(found[0], names[0]);
  EXPECT_EQ(found[1], names[1]);
  EXPECT_EQ(found[2], "\\xff\\xfe");
  EXPECT_EQ(found[3], names[3]);
  const std::string half(150, 'n');
  EXPECT_EQ(found[4], half + "..." + half + " (65536 bytes)");
}

TEST_F(InspectPage, ShowsTheSpectrumOfATask) {
  const test::fs::path family = test::fs::path(test::kTestdata) / "t5-lora-merged";
  ExtractOptions options;
  options.base = (family / "base.onnx").string();
  const ExtractReport report = extract_lora(resolve_inputs({(family / "summarize.onnx").string()}),
                                            temp_ / "bundle", options);
  ASSERT_EQ(run({"bundle"}, html()), 0) << err_;
  const json task = data_of(page()).at("tasks")[0];
  EXPECT_EQ(task.at("name"), "summarize");
  std::map<std::string, const ExtractedTensor*> extracted;
  for (const ExtractedTensor& tensor : report.tasks[0].tensors) {
    if (tensor.tensor_class == TensorClass::kLowRank) extracted[tensor.task_tensor] = &tensor;
  }
  ASSERT_EQ(task.at("weights").size(), extracted.size());
  for (const json& weight : task.at("weights")) {
    SCOPED_TRACE(weight.at("tensor"));
    const ExtractedTensor& tensor = *extracted.at(weight.at("tensor"));
    EXPECT_EQ(weight.at("rank"), tensor.rank);
    ASSERT_EQ(weight.at("strengths").size(), static_cast<size_t>(tensor.rank));
    for (size_t k = 0; k < weight.at("strengths").size(); ++k) {
      const double value = tensor.singular_values[k];
      EXPECT_NEAR(weight.at("strengths")[k].get<double>() / value, 1, 1e-3);
    }
  }
}

TEST_F(InspectPage, TakesNumbersOutOfNames) {
  const std::vector<std::string> names = {
      "block.0.layer.12",         "block.3.layer.4", "007", "a1234567890",
      std::string("x\x01") + "5", "plain",           "9"};
  std::vector<Proto> tensors;
  for (size_t i = 0; i < names.size(); ++i) {
    tensors.push_back(raw(names[i], noise(2000, static_cast<uint32_t>(i))));
  }
  add("a.onnx", tensors);
  ASSERT_EQ(run({"in"}, html()), 0) << err_;
  const json found = data_of(page()).at("tensors");
  std::vector<std::string> shown = names;
  shown[4] = "x\\x015";  // as visible() shows it
  EXPECT_EQ(names_of(found), shown);
  EXPECT_EQ(found.at("patterns"), json({"block.\x01.layer.\x01", "\x01"}));
  EXPECT_EQ(found.at("names"),
            json({{0, 0, 12}, {0, 3, 4}, "007", "a1234567890", shown[4], "plain", {1, 9}}));
}

// 50 models of 2,000 tensors, of which no two are equal, with names of their own.
Inspection large_inspection(const std::string& name) {
  Inspection inspection;
  inspection.matrix.assign(50, std::vector<uint64_t>(50, 1234567890));
  for (uint32_t m = 0; m < 50; ++m) {
    inspection.models.push_back({});
    inspection.models.back().name = name + std::to_string(m);
    for (uint64_t t = 0; t < 2000; ++t) {
      InspectedContent content;
      content.tensor.tensor = name + std::to_string(m) + "." + std::to_string(t) + ".weight";
      content.tensor.dtype = "float32";
      content.tensor.shape = {static_cast<int64_t>(t), 768};
      content.tensor.bytes = (2000 - t) * 768 * 4;
      content.uses = 1;
      content.models = {m};
      inspection.contents.push_back(content);
    }
  }
  std::stable_sort(inspection.contents.begin(), inspection.contents.end(),
                   [](const InspectedContent& a, const InspectedContent& b) {
                     return a.tensor.bytes > b.tensor.bytes;
                   });
  return inspection;
}

TEST(InspectPageSize, StaysUnder2MiBAndSaysWhatIsLeftOut) {
  for (const std::string& name : {std::string("model.encoder.layer."), std::string(290, '<')}) {
    const std::string page = to_html(large_inspection(name), 1024, {{name}, "2026-11-30"});
    EXPECT_LT(page.size(), size_t{2} << 20);
    EXPECT_GT(page.size(), size_t{1} << 20);  // room is used
    const json tensors = data_of(page).at("tensors");
    EXPECT_GT(tensors.at("left_out").at("tensors"), 0);
    size_t contents = 0;
    for (const json& row : tensors.at("rows")) contents += row.size() - 2;
    EXPECT_EQ(contents + tensors.at("left_out").at("tensors").get<size_t>(), 100000u);
    EXPECT_EQ(tensors.at("forms")[0][5], 2000 * 768 * 4);  // the largest stay
  }
}

TEST(InspectPageSize, StaysUnder2MiBFor10000Models) {
  Inspection inspection;
  inspection.matrix.assign(kMostCompared, std::vector<uint64_t>(kMostCompared, 1234567890));
  PageSource source;
  for (uint32_t m = 0; m < 10000; ++m) {
    InspectedModel& model = inspection.models.emplace_back();
    model.name = "organisation-and-project-" + std::to_string(m) + "-model";
    model.shared_bytes = 10000 - m;
    source.paths.push_back("models/" + model.name + ".onnx");
    if (m < kMostCompared) inspection.compared_models.push_back(m);
    for (uint64_t t = 0; t < 3; ++t) {
      InspectedContent& content = inspection.contents.emplace_back();
      content.tensor.tensor = model.name + ".encoder.layer." + std::to_string(t) + ".weight";
      content.tensor.bytes = 4096;
      content.uses = 1;
      content.models = {m};
    }
  }
  const std::string page = to_html(inspection, 1024, source);
  EXPECT_LT(page.size(), size_t{2} << 20);
  EXPECT_EQ(data_of(page).at("models_in_all"), 10000);
}

TEST(InspectPageSize, HoldsAllTensorsOf50ModelsOfOneForm) {
  Inspection inspection = large_inspection("x");
  for (InspectedContent& content : inspection.contents) {
    content.tensor.tensor = content.tensor.tensor.substr(content.tensor.tensor.find('.'));
  }
  const std::string page = to_html(inspection, 1024, {});
  EXPECT_LT(page.size(), size_t{1} << 20);
  const json tensors = data_of(page).at("tensors");
  EXPECT_EQ(tensors.at("left_out").at("tensors"), 0);
  EXPECT_EQ(tensors.at("rows").size(), 2000u);
}

}  // namespace
}  // namespace wshare
