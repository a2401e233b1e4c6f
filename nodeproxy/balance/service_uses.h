#pragma once
// What a worker counts by service, whatever the port: its circuit breaker and its retry budget. Keyed by name, so that it
// survives new snapshots; a service that is at rest for a minute is forgotten.
// Owner: State. Thread: its worker's. Lifetime: longer than any Permit.
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "nodeproxy/balance/breaker.h"
#include "nodeproxy/balance/budget.h"

namespace weir::balance {

struct ServiceUse {
  Breaker breaker;
  Budget budget;
  TimePoint used;
};

class ServiceUses {
 public:
  static constexpr auto rest = std::chrono::seconds(60);

  ServiceUse& at(const std::string& service, TimePoint now);
  const ServiceUse* find(const std::string& service) const {
    const auto found = uses_.find(service);
    return found == uses_.end() ? nullptr : &found->second;
  }
  size_t size() const { return uses_.size(); }

 private:
  std::unordered_map<std::string, ServiceUse> uses_;
  TimePoint tidied_;
};

}  // namespace weir::balance
