// The two read-outs of the reason table: label for machines, sentence for people. See reason.h.
#include "nodeproxy/base/reason.h"

#include <array>

namespace weir {
namespace {

struct Row {
  std::string_view label;
  std::string_view sentence;
};

constexpr std::array<Row, kReasonCount> kRows{{
#define X(name, label, text) {label, text},
    WEIR_REASONS(X)
#undef X
}};

}  // namespace

std::string_view label(Reason reason) { return kRows[static_cast<size_t>(reason)].label; }

std::string_view sentence(Reason reason) { return kRows[static_cast<size_t>(reason)].sentence; }

}  // namespace weir
