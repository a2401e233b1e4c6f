// Which class speaks which version. See connection.h.
#include "nodeproxy/http/connection.h"

#include "nodeproxy/http/h1_client.h"
#include "nodeproxy/http/h2_client.h"

namespace weir::http {

std::unique_ptr<ClientConnection> make_client(io::Driver& driver, std::unique_ptr<io::ByteStream> bytes,
                                              ClientConnectionEvents& events, bool h2) {
  if (h2) return std::make_unique<H2Client>(driver, std::move(bytes), events);
  return std::make_unique<H1Client>(driver, std::move(bytes), events);
}

}  // namespace weir::http
