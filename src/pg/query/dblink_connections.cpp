#include "pg/query/dblink_connections.h"

#include <dlfcn.h>
#include <link.h>

#include <cstring>

#include "pg/server/attempt.h"
#include "pg/server/sql_function.h"
#include "pg/server/worker_transaction.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

struct Dblink {
    unsigned long long loaded = 0; // libraries when it was looked for last
    PGFunction names = nullptr;
    PGFunction disconnect = nullptr;
};

const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != nullptr ? slash + 1 : path;
}

int find_library(dl_phdr_info *library, size_t, void *found) {
    auto *dblink = static_cast<Dblink *>(found);
    if (dblink->loaded == library->dlpi_adds)
        return 1; // nothing is new
    if (strcmp(name_of(library->dlpi_name), "dblink" DLSUFFIX) != 0)
        return 0;
    void *handle = dlopen(library->dlpi_name, RTLD_NOW | RTLD_NOLOAD);
    if (handle == nullptr)
        return 0;
    dblink->names = reinterpret_cast<PGFunction>(dlsym(handle, "dblink_get_connections"));
    dblink->disconnect = reinterpret_cast<PGFunction>(dlsym(handle, "dblink_disconnect"));
    dlclose(handle); // the server never unloads it
    return 1;
}

int count_libraries(dl_phdr_info *library, size_t, void *count) {
    *static_cast<unsigned long long *>(count) = library->dlpi_adds;
    return 1;
}

// Loaded libraries stay: once found, it need not be looked for again.
const Dblink *loaded_dblink() {
    static Dblink dblink;
    if (dblink.disconnect == nullptr) {
        dl_iterate_phdr(find_library, &dblink);
        dl_iterate_phdr(count_libraries, &dblink.loaded);
    }
    return dblink.names != nullptr && dblink.disconnect != nullptr ? &dblink : nullptr;
}

Datum call_function(PGFunction function, short count, Datum argument, bool &is_null) {
    return call([&] {
        LOCAL_FCINFO(fcinfo, 1);
        InitFunctionCallInfoData(*fcinfo, nullptr, count, InvalidOid, nullptr, nullptr);
        fcinfo->args[0] = {argument, false};
        Datum result = function(fcinfo);
        is_null = fcinfo->isnull;
        return result;
    });
}

} // namespace

void close_dblink_connections() {
    const Dblink *dblink = loaded_dblink();
    if (dblink == nullptr)
        return;
    in_transaction([&] {
        bool is_null = false;
        Datum names = call_function(dblink->names, 0, 0, is_null);
        if (!is_null)
            for (const std::optional<std::string> &name : elements_of(names)) {
                Datum text = call([&] { return CStringGetTextDatum(name->c_str()); });
                call_function(dblink->disconnect, 1, text, is_null);
            }
        // One without a name fails to be closed if there is none.
        (void)attempt([&] { call_function(dblink->disconnect, 0, 0, is_null); });
    });
}

} // namespace rtd::pg
