#include "diff/forms.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "format/dtype.h"

namespace wshare {
namespace {

using Kind = WeightRelation::Kind;

constexpr uint64_t kSmallestWeight = 64;  // bytes

std::string form_text(const TensorRef& tensor, const Quantisation& how) {
  if (how.packed_bits == 0 && how.block == 0) return dtype_name(tensor.dtype);
  const std::string elements =
      how.packed_bits == 0 ? dtype_name(tensor.dtype) : std::to_string(how.packed_bits) + " bits";
  return elements + " in blocks of " + std::to_string(how.block);
}

void set_error(DiffForm& form, const FormError& error) {
  form.relative_error = error.relative();
  form.snr_db = decibels(form.relative_error);
}

// Sums over the weights of one model that were made of the other's in one way.
struct Sum {
  DiffForms forms;
  FormError error;
  std::map<std::string, uint64_t> bytes_to;  // by DiffForm::to

  void add(const DiffForm& form, const FormError& of_form, uint64_t bytes) {
    ++forms.weights;
    forms.bytes += bytes;
    forms.sum.elements += form.elements;
    forms.sum.off += form.off;
    error.square += of_form.square;
    error.square_error += of_form.square_error;
    bytes_to[form.to] += bytes;
  }
};

class Finder {
 public:
  Finder(const ScannedModel& a, const ScannedModel& b, unsigned threads,
         ModelComparison& comparison)
      : a_(a), b_(b), threads_(threads), comparison_(comparison) {}

  FoundForms run() {
    index_matches();
    const WeightIndex of_a(a_), of_b(b_);
    look(of_a, b_, comparison_.graph_b, false);
    look(of_b, a_, comparison_.graph_a, true);
    sort_out_removed();
    add_casts();
    sum_up(false);
    sum_up(true);
    return std::move(found_);
  }

 private:
  static bool is_open(const TensorMatch& match) {
    return match.tensor_class == TensorClass::kReplaced ||
           match.tensor_class == TensorClass::kAdded || match.tensor_class == TensorClass::kRemoved;
  }

  void index_matches() {
    for (size_t m = 0; m < comparison_.tensors.size(); ++m) {
      const TensorMatch& match = comparison_.tensors[m];
      if (match.b != kAbsent) of_b_[match.b] = m;
      if (match.b != kAbsent && match.a != kAbsent && !is_open(match)) known_a_.insert(match.a);
    }
  }

  // Tensors of `made` that were made of weights in `index`; of_b: `made` is a.
  void look(const WeightIndex& index, const ScannedModel& made, const ComputeGraph& graph,
            bool of_b) {
    RelationOptions options;
    options.min_bytes = kSmallestWeight;
    options.threads = threads_;
    options.wanted = [&](int32_t tensor) {
      if (of_b) return known_a_.count(tensor) == 0;
      const auto match = of_b_.find(tensor);
      return match != of_b_.end() && is_open(comparison_.tensors[match->second]);
    };
    for (const WeightRelation& relation : find_relations(index, made, graph, options)) {
      if (relation.kind == Kind::kTransposed) continue;  // compare_models() has found them
      const auto match = of_b_.find(of_b ? relation.a : relation.b);
      if (match == of_b_.end() || !is_open(comparison_.tensors[match->second])) continue;
      take(relation, comparison_.tensors[match->second], of_b);
    }
  }

  void take(const WeightRelation& relation, TensorMatch& match, bool of_b) {
    if (match.a != kAbsent) dropped_.insert(match.a);
    match = {};
    match.a = of_b ? relation.b : relation.a;
    match.b = of_b ? relation.a : relation.b;
    match.tensor_class =
        relation.kind == Kind::kCast ? TensorClass::kCast : TensorClass::kQuantised;
    match.transposed = relation.transposed;
    known_a_.insert(match.a);
    const ScannedModel& base = of_b ? b_ : a_;
    const ScannedModel& made = of_b ? a_ : b_;
    const TensorRef& tensor = made.tensors[static_cast<size_t>(relation.b)];
    if (relation.kind == Kind::kCast) return;  // add_casts() measures all
    DiffForm form;
    form.of_b = of_b;
    form.to = form_text(tensor, relation.quantised.how);
    form.elements = relation.elements;
    form.off = relation.wrong;
    const FormError error = error_of(quantised_prediction(base, made, relation), tensor.bytes);
    set_error(form, error);
    sums_[{of_b, TensorClass::kQuantised}].add(form, error, tensor.bytes.size());
    found_.by_tensors[{match.a, match.b}] = form;
  }

  // Counterparts by place that now have another one are removed, unless something else has them;
  // and those that were removed are not any more.
  void sort_out_removed() {
    std::vector<TensorMatch>& matches = comparison_.tensors;
    std::set<int32_t> used;
    for (const TensorMatch& match : matches) {
      if (match.b != kAbsent && match.a != kAbsent) used.insert(match.a);
    }
    std::erase_if(matches, [&](const TensorMatch& match) {
      return match.b == kAbsent && used.count(match.a) != 0;
    });
    for (const int32_t tensor : dropped_) {
      if (used.count(tensor) != 0) continue;
      TensorMatch match;
      match.a = tensor;
      match.tensor_class = TensorClass::kRemoved;
      matches.push_back(match);
    }
  }

  // Figures of all casts, also those that were found by place.
  void add_casts() {
    for (const TensorMatch& match : comparison_.tensors) {
      if (match.tensor_class != TensorClass::kCast) continue;
      const TensorRef& of_a = a_.tensors[static_cast<size_t>(match.a)];
      const TensorRef& of_b = b_.tensors[static_cast<size_t>(match.b)];
      const bool widened =
          float_format(of_b.dtype)->significand_bits > float_format(of_a.dtype)->significand_bits;
      const TensorRef& made = widened ? of_a : of_b;
      DiffForm form;
      form.of_b = widened;
      form.to = dtype_name(made.dtype);
      form.elements = *element_count(made.shape);
      const FormError error = cast_error(widened ? of_b : of_a, made, match.transposed);
      set_error(form, error);
      found_.by_tensors[{match.a, match.b}] = form;
      if (made.bytes.size() >= kSmallestWeight)
        sums_[{widened, TensorClass::kCast}].add(form, error, made.bytes.size());
    }
  }

  uint64_t weights_of(const ScannedModel& model, const ComputeGraph& graph,
                      const DiffForms& forms) const {
    if (forms.tensor_class == TensorClass::kQuantised)
      return quantised_weights(graph, model).size();
    return static_cast<uint64_t>(
        std::count_if(model.tensors.begin(), model.tensors.end(), [&](const TensorRef& tensor) {
          return tensor.bytes.size() >= kSmallestWeight && dtype_name(tensor.dtype) == forms.sum.to;
        }));
  }

  void sum_up(bool of_b) {
    for (const TensorClass kind : {TensorClass::kQuantised, TensorClass::kCast}) {
      const auto at = sums_.find({of_b, kind});
      if (at == sums_.end()) continue;
      DiffForms forms = at->second.forms;
      forms.tensor_class = kind;
      forms.sum.of_b = of_b;
      uint64_t most = 0;
      for (const auto& [to, bytes] : at->second.bytes_to) {
        if (bytes > most) forms.sum.to = to;
        most = std::max(most, bytes);
      }
      set_error(forms.sum, at->second.error);
      forms.weights_total =
          weights_of(of_b ? a_ : b_, of_b ? comparison_.graph_a : comparison_.graph_b, forms);
      found_.sums.push_back(std::move(forms));
    }
  }

  const ScannedModel& a_;
  const ScannedModel& b_;
  const unsigned threads_;
  ModelComparison& comparison_;
  std::map<int32_t, size_t> of_b_;       // match by tensor of b
  std::set<int32_t> known_a_, dropped_;  // tensors of a
  std::map<std::pair<bool, TensorClass>, Sum> sums_;
  FoundForms found_;
};

bool is_small(const DiffTensor& tensor) {
  constexpr uint64_t kSmall = 1024;
  return (tensor.b ? tensor.b->bytes : tensor.a->bytes) < kSmall;
}

bool is_near(const DiffTensor& tensor) {
  switch (tensor.tensor_class) {
    case TensorClass::kAdded:
    case TensorClass::kRemoved:
    case TensorClass::kLora:
      return false;
    case TensorClass::kReplaced:
      if (tensor.delta && (tensor.delta->changed_rows < tensor.delta->rows ||
                           tensor.delta->changed_cols < tensor.delta->cols))
        return true;  // the rest is equal
      return tensor.relative_change && *tensor.relative_change < 1;
    default:
      return true;
  }
}

}  // namespace

FoundForms find_forms(const ScannedModel& a, const ScannedModel& b, unsigned threads,
                      ModelComparison& comparison) {
  return Finder(a, b, threads, comparison).run();
}

DiffVerdict verdict_of(const DiffReport& report) {
  if (report.equal) return DiffVerdict::kEqual;
  // Constants that only one graph needs are no weights: they count where there is nothing larger.
  bool only_a = false, only_b = false, small_a = false, small_b = false;
  bool changed = false, near = false, large = false;
  for (const DiffTensor& tensor : report.tensors) {
    const TensorClass kind = tensor.tensor_class;
    const bool counts = kind == TensorClass::kLora || !is_small(tensor);
    if (kind == TensorClass::kRemoved || (kind == TensorClass::kLora && !tensor.b)) {
      (counts ? only_a : small_a) = true;
    } else if (kind == TensorClass::kAdded || kind == TensorClass::kLora) {
      (counts ? only_b : small_b) = true;
    } else if (kind != TensorClass::kSame && kind != TensorClass::kRenamed &&
               kind != TensorClass::kTransposed) {
      changed = true;
    }
    if (is_small(tensor)) continue;
    large = true;
    near = near || is_near(tensor);
  }
  if (!large) {
    only_a = only_a || small_a;
    only_b = only_b || small_b;
  }
  for (const DiffForms& forms : report.forms) {
    const bool quantised = forms.tensor_class == TensorClass::kQuantised;
    const uint64_t bytes = forms.sum.of_b ? report.weight_bytes_a : report.weight_bytes;
    if (forms.bytes >= bytes / 2 || (quantised && forms.weights == forms.weights_total)) {
      return quantised ? DiffVerdict::kQuantised : DiffVerdict::kCast;
    }
  }
  if (!changed && only_a != only_b)
    return only_a ? DiffVerdict::kContains : DiffVerdict::kContained;
  if (!changed && !only_a) return DiffVerdict::kSameWeights;
  return large && !near ? DiffVerdict::kUnrelated : DiffVerdict::kDiffers;
}

const char* text_of(DiffVerdict verdict) {
  switch (verdict) {
    case DiffVerdict::kEqual:
      return "equal";
    case DiffVerdict::kSameWeights:
      return "same_weights";
    case DiffVerdict::kDiffers:
      return "differs";
    case DiffVerdict::kContains:
      return "contains";
    case DiffVerdict::kContained:
      return "contained";
    case DiffVerdict::kCast:
      return "cast";
    case DiffVerdict::kQuantised:
      return "quantised";
    case DiffVerdict::kUnrelated:
      return "unrelated";
  }
  return "";
}

}  // namespace wshare
