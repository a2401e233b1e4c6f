#pragma once
// The labels of one connection: its own until they are final, then those of the row that counts it, which stay. So an idle
// connection does not hold seven strings.
// Thread: one worker; a copy has labels of its own, and may go elsewhere. Lifetime: no longer than the Series.
#include <memory>

#include "nodeproxy/telemetry/series.h"

namespace weir::telemetry {

class FlowLabels {
 public:
  FlowLabels() : own_(std::make_unique<Labels>()) {}
  FlowLabels(const FlowLabels& other) : own_(std::make_unique<Labels>(*other)) {}
  FlowLabels& operator=(const FlowLabels& other) {
    if (this != &other) *this = *other;
    return *this;
  }
  FlowLabels& operator=(const Labels& labels) {
    own_ = std::make_unique<Labels>(labels);
    return *this;
  }

  const Labels& operator*() const { return own_ ? *own_ : *of_row_; }
  const Labels* operator->() const { return &**this; }
  Labels& edit() {
    if (!own_) own_ = std::make_unique<Labels>(*of_row_);
    return *own_;
  }
  // These are the same, and stay.
  void settle(const Labels& of_row) {
    of_row_ = &of_row;
    own_.reset();
  }

 private:
  std::unique_ptr<Labels> own_;  // null: the row's
  const Labels* of_row_ = nullptr;
};

}  // namespace weir::telemetry
