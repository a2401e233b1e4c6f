// See service_uses.h.
#include "nodeproxy/balance/service_uses.h"

namespace weir::balance {

ServiceUse& ServiceUses::at(const std::string& service, TimePoint now) {
  if (now - tidied_ >= rest) {
    tidied_ = now;
    std::erase_if(uses_, [&](const auto& entry) {
      return entry.second.breaker.idle() && now - entry.second.used >= rest;
    });
  }
  ServiceUse& use = uses_[service];
  use.used = now;
  return use;
}

}  // namespace weir::balance
