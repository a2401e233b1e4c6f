// What a handshake of two proxies costs, both sides, without sockets: the first between two workloads, in full between
// two that have met (their chains are known), and resumed. CPU time of this thread, which does the work of both.
// Thread: main, as two workers. Lifetime: the program's.
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "bench/micro/micro.h"
#include "nodeproxy/tls/session.h"

namespace weir::bench {
namespace {

constexpr size_t kHandshakes = 2'000;
constexpr long kLifeSeconds = 86'400;

std::string der_of(X509* certificate) {
  uint8_t* der = nullptr;
  const int bytes = i2d_X509(certificate, &der);
  const bssl::UniquePtr<uint8_t> owned(der);
  return {reinterpret_cast<char*>(der), static_cast<size_t>(bytes)};
}

// An authority with a root, and leaves as the agent signs them: no intermediate.
struct Authority {
  bssl::UniquePtr<EVP_PKEY> key;
  std::string der;

  Authority() : key(EVP_PKEY_new()) {
    bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
    EC_KEY_generate_key(ec.get());
    EVP_PKEY_set1_EC_KEY(key.get(), ec.get());
    der = sign(key.get(),
               {{NID_basic_constraints, "critical,CA:TRUE"}, {NID_key_usage, "critical,keyCertSign"}});
  }
  std::string sign(EVP_PKEY* subject, const std::vector<std::pair<int, std::string>>& extensions) const {
    const bssl::UniquePtr<X509> made(X509_new());
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), subject == key.get() ? 1 : 2);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), kLifeSeconds);
    X509_set_pubkey(made.get(), subject);
    const auto* name = reinterpret_cast<const uint8_t*>("root");
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(made.get()), "CN", MBSTRING_ASC, name, -1, -1, 0);
    if (subject == key.get())
      X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_ASC, name, -1, -1, 0);
    for (const auto& [nid, value] : extensions) {
      const bssl::UniquePtr<X509_EXTENSION> extension(
          X509V3_EXT_nconf_nid(nullptr, nullptr, nid, value.c_str()));
      X509_add_ext(made.get(), extension.get(), -1);
    }
    X509_sign(made.get(), key.get(), EVP_sha256());
    return der_of(made.get());
  }
  std::shared_ptr<const tls::Context> workload(const std::string& uri) const {
    const auto leaf = *tls::PrivateKey::make();
    const std::string chain = sign(leaf->get(), {{NID_basic_constraints, "critical,CA:FALSE"},
                                                 {NID_key_usage, "critical,digitalSignature"},
                                                 {NID_ext_key_usage, "serverAuth,clientAuth"},
                                                 {NID_subject_alt_name, "critical,URI:" + uri}});
    return *tls::Context::make(*tls::SpiffeId::parse(uri), leaf, {chain},
                               *tls::Bundle::make({"cluster.local", 1, {der}}));
  }
};

double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Meeting final : tls::TicketEvents {
  std::shared_ptr<const tls::Context> dialler, acceptor;
  std::unique_ptr<tls::VerifiedChains> dialler_chains, acceptor_chains;
  tls::Ticket ticket;

  void on_ticket(tls::Ticket next) override { ticket = std::move(next); }
  void forget() {
    dialler_chains = std::make_unique<tls::VerifiedChains>();
    acceptor_chains = std::make_unique<tls::VerifiedChains>();
  }
  static void hand_over(tls::Session& from, tls::Session& to) {
    std::vector<std::byte> wire;
    for (; from.output_bytes() > 0; from.consume_output(from.output().size()))
      wire.insert(wire.end(), from.output().begin(), from.output().end());
    to.feed(wire);
    const auto state = to.handshake();
    if (!state || (*state == tls::HandshakeState::done && !to.read())) std::abort();
  }
  // Both sides, with the ticket for the next time. The CPU's time in microseconds.
  double shake(bool resume) {
    const double begin = cpu_us();
    const auto client =
        *tls::Session::dial(dialler, acceptor->identity(), dialler_chains.get(),
                            {.offered = resume ? std::move(ticket) : tls::Ticket{}, .events = this});
    const auto server = *tls::Session::accept(acceptor, acceptor_chains.get());
    if (!client->handshake()) std::abort();
    for (int flights = 0; flights < 2; ++flights) {
      hand_over(*client, *server);
      hand_over(*server, *client);
    }
    const double took = cpu_us() - begin;
    if (!client->established() || client->resumed() != resume || !ticket.session) std::abort();
    return took;
  }
};

void run() {
  const Authority authority;
  Meeting meeting;
  meeting.dialler = authority.workload("spiffe://cluster.local/ns/shop/sa/client");
  meeting.acceptor = authority.workload("spiffe://cluster.local/ns/shop/sa/server");
  meeting.forget();
  // One of each in turn: whatever else the machine does, it does to all three.
  std::vector<double> first, known, resumed;
  for (size_t i = 0; i < kHandshakes; ++i) {
    meeting.forget();
    first.push_back(meeting.shake(false));
    known.push_back(meeting.shake(false));
    resumed.push_back(meeting.shake(true));
  }
  const auto median = [](std::vector<double> us) {
    std::ranges::nth_element(us, us.begin() + static_cast<ptrdiff_t>(us.size() / 2));
    return us[us.size() / 2];
  };
  print_us("full, chains followed to the root", first);
  print_us("full, chains known", known);
  print_us("resumed", resumed);
  fmt::print("  resumed over full: {:.2f}; over full with known chains: {:.2f}\n",
             median(resumed) / median(first), median(resumed) / median(known));
}

const Registered registered("handshake", "CPU of a mesh handshake, both sides: full, known, resumed", run);

}  // namespace
}  // namespace weir::bench
