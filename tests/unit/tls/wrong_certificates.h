#pragma once
// Leaves of a trusted root that are wrong in one way each, and the reason with which each must be refused; and a meeting
// of such a leaf with a session of ours, in either role.
// Owner: the tests of tls/. Thread: one.
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/tls/raw_peer.h"

namespace weir::tls::test {

inline constexpr auto kCart = "spiffe://cluster.local/ns/shop/sa/cart";
inline constexpr auto kDb = "spiffe://cluster.local/ns/data/sa/db";

struct Wrong {
  std::string name;
  Reason reason;
  std::function<void(Spec&)> change;
};

const std::vector<Wrong>& wrongs();

struct Met {
  Error ours, theirs;
};

// A raw peer with this chain against our session, as dialler (client) or acceptor. It must be refused.
Met meet(const Authority& trusted, EVP_PKEY* key, const std::vector<std::string>& chain, bool peer_dials);
// The same where it must be taken.
bool taken(const Authority& trusted, EVP_PKEY* key, const std::vector<std::string>& chain, bool peer_dials);

}  // namespace weir::tls::test
