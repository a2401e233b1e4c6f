#pragma once
// The endpoints a Group chooses from: Kubernetes' rules for what is eligible (pick.h), in tiers from near to far, without
// those that are ejected; and what share of the traffic each tier takes. Built once for a Service object, which a
// snapshot never changes, and again only when ejections, or weights that grow, demand it.
// Owner: a Group. Thread: its worker's. Lifetime: it points into the Service it was built from; current() looks at nothing
// of that but its address and revision, so a list whose Service is gone is harmless.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nodeproxy/balance/line.h"
#include "nodeproxy/balance/maglev.h"
#include "nodeproxy/balance/members.h"
#include "nodeproxy/balance/outliers.h"
#include "nodeproxy/balance/request.h"
#include "nodeproxy/balance/ring.h"

namespace weir::balance {

struct Candidate {
  const config::EndpointPort* port = nullptr;
  const config::Endpoint* endpoint = nullptr;
  Member* member = nullptr;
};

struct Tier {
  std::vector<Candidate> candidates;  // the usable ones first, then the ejected
  uint32_t usable = 0;
  Line line;                 // of the usable ones, by weight
  double share = 0;          // of the traffic
  bool weights_even = true;  // the endpoints' own, without slow start

  // For ring_hash and maglev. The table is of all candidates, usable or not: who returns finds its keys again, and
  // proxies that disagree about ejections agree about everything else.
  std::vector<uint32_t> by_id;  // candidates in the order of their ids, which is what the table speaks of
  std::variant<std::monostate, Ring, Maglev> table;
  uint64_t table_of = 0;      // a fingerprint of what the table was built from
  uint32_t table_builds = 0;  // how often it was built
};

// The nearest tier takes all traffic while its usable share, times this, is not below 1 (Envoy's over-provisioning factor
// of 140 %); what it lacks of that overflows to the next.
inline constexpr double kOverprovisioning = 1.4;

class Eligible {
 public:
  static constexpr size_t tiers_max = 3;

  bool current(const Request& request, uint64_t changes) const {
    return service_ == &request.service && revision_ == request.service.revision && revision_ != 0 &&
           changes_ == changes && request.now < valid_until_;
  }
  void build(const Request& request, const std::string& port_name, Members& members, Outliers& outliers);

  const Tier& tier(size_t index) const { return tiers_[index]; }
  bool empty() const { return empty_; }

  size_t table_bytes() const;
  void drop_tables();

 private:
  void collect(const Request& request, const std::string& port_name, Members& members);
  void finish(Tier& tier, size_t index, const Request& request, bool leave_out);
  void share_out();
  void fill_line(Tier& tier, const Request& request);
  void fill_table(Tier& tier, config::Balancer balancer);

  std::array<Tier, tiers_max> tiers_;
  bool empty_ = true;
  bool ramping_ = false;  // some weights still grow

  const config::Service* service_ = nullptr;
  uint64_t revision_ = 0;  // of no service
  uint64_t changes_ = 0;   // Outliers::changes()
  TimePoint valid_until_ = TimePoint::max();
};

}  // namespace weir::balance
