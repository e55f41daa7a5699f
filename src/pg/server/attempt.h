// attempt(): runs something that may fail without harm to the transaction around it. In backends,
// on behalf of a writer who must not fail because of rtd.
//
// It is a subtransaction, which costs about a microsecond: only for what really may fail, such as
// code that users brought along, or values near the server's limits.
#pragma once
#include "core/fence.h"

#include <new>
#include <optional>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/resowner.h"
}

namespace rtd::pg {

// The error with which `body` ended, or nullopt. What it did to the database is undone then. That
// the statement is to end (a cancel, a timeout), or that the transaction cannot be serialized any
// more, is no error of the body, and is passed on.
template <class Body> std::optional<Error> attempt(Body &&body) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    auto give_back = [&] {
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = owner;
    };
    call([] { BeginInternalSubTransaction(nullptr); });
    MemoryContextSwitchTo(context);
    std::optional<Error> failure;
    try {
        body();
    } catch (const Error &error) {
        failure = error;
    } catch (const std::bad_alloc &) {
        failure.emplace(ERRCODE_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception &error) {
        failure.emplace(ERRCODE_INTERNAL_ERROR, error.what());
    }
    if (failure)
        call([] { RollbackAndReleaseCurrentSubTransaction(); });
    else
        call([] { ReleaseCurrentSubTransaction(); });
    give_back();
    bool is_of_body =
        !failure ||
        (failure->sqlstate() != ERRCODE_QUERY_CANCELED &&
         (failure->sqlstate() != ERRCODE_T_R_SERIALIZATION_FAILURE || !IsolationIsSerializable()));
    if (!is_of_body)
        throw *failure;
    return failure;
}

// The same with a snapshot that shows all that the transaction did so far.
template <class Body> std::optional<Error> attempt_with_snapshot(Body &&body) {
    return attempt([&] {
        call([] {
            CommandCounterIncrement();
            PushActiveSnapshot(GetTransactionSnapshot());
        });
        body();
        call([] { PopActiveSnapshot(); });
    });
}

} // namespace rtd::pg
