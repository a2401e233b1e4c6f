// The intrusive list of judged.h.
#include "nodeproxy/flow/judged.h"

namespace weir::flow {

void Judged::enter_judged(Judged*& list) {
  leave_judged();
  list_ = &list;
  next_ = list;
  if (next_) next_->previous_ = this;
  list = this;
}

void Judged::leave_judged() {
  if (!list_) return;
  if (previous_) {
    previous_->next_ = next_;
  } else {
    *list_ = next_;
  }
  if (next_) next_->previous_ = previous_;
  list_ = nullptr;
  previous_ = next_ = nullptr;
}

}  // namespace weir::flow
