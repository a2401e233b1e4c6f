#pragma once
// What context.cc builds and a tls::Session uses, and nobody else: BoringSSL's contexts and the callbacks they share.
// Owner: a Context. Thread: immutable after it is made; the callbacks run on the session's worker.
#include <openssl/ssl.h>

#include "nodeproxy/tls/context.h"
#include "nodeproxy/tls/ticket_key.h"

namespace weir::tls {

struct Context::Internals {
  bssl::UniquePtr<SSL_CTX> client, server;
  TicketKey tickets;  // the server's
};

// ALPN weir/1, in wire form. weir/h2 joins the offer and the selection with HTTP/2.
inline constexpr uint8_t kAlpnOffer[] = {6, 'w', 'e', 'i', 'r', '/', '1'};
inline constexpr size_t kCertificateMessageBytesMax = 16 * 1024;

// SSL_CTX_set_custom_verify: the whole judgement, recorded in the tls::Session that the SSL belongs to.
ssl_verify_result_t verify_peer(SSL* ssl, uint8_t* alert);
// SSL_CTX_set_ticket_aead_method: the Context's TicketKey, by the clock of the session.
extern const SSL_TICKET_AEAD_METHOD kTicketMethod;
// SSL_CTX_set_alpn_select_cb: weir/1, or no_application_protocol.
int select_alpn(SSL* ssl, const uint8_t** chosen, uint8_t* chosen_bytes, const uint8_t* offered,
                unsigned offered_bytes, void* unused);

}  // namespace weir::tls
