// See utility_commands.h. Runs in the backend of whoever runs the command.
#include "pg/ddl/utility_commands.h"

#include <functional>

#include "pg/ddl/cached_changes.h"
#include "pg/ddl/definition_changes.h"
#include "pg/server/attempt.h"
#include "pg/server/boundary.h"
#include "pg/sql/topic_owner.h"

#include "pg/server/prelude.h"

extern "C" {
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
}

namespace rtd::pg {

namespace {

ProcessUtility_hook_type previous_utility = nullptr;

std::vector<Oid> oids_of(List *roles) {
    std::vector<Oid> oids;
    ListCell *cell;
    foreach (cell, roles) {
        Oid role =
            call([&] { return get_rolespec_oid(static_cast<RoleSpec *>(lfirst(cell)), true); });
        if (OidIsValid(role))
            oids.push_back(role);
    }
    return oids;
}

void follow(const char *command, const std::function<void(const Registry &)> &body) {
    std::optional<Registry> registry = find_registry();
    if (!registry)
        return;
    std::optional<Error> failed = attempt_with_snapshot([&] { body(*registry); });
    if (failed)
        warn(failed->sqlstate(),
             std::string("topics did not follow ") + command + ": " + failed->message(),
             failed->detail(),
             "rtd_topics.problem shows topics without an owner; rtd_alter_topic(..., owner => ...) "
             "gives them one.");
}

// Where the object access hook is silent: row security, which views pass on to their readers, and
// partitions that come and go with their rows.
void follow_alter_table(AlterTableStmt *alter) {
    bool concerns_all = false;
    ListCell *cell;
    foreach (cell, alter->cmds) {
        switch (static_cast<AlterTableCmd *>(lfirst(cell))->subtype) {
        case AT_EnableRowSecurity:
        case AT_DisableRowSecurity:
        case AT_ForceRowSecurity:
        case AT_NoForceRowSecurity:
            concerns_all = true;
            break;
        default:
            break;
        }
    }
    Oid table = call([&] { return RangeVarGetRelid(alter->relation, NoLock, true); });
    if (!OidIsValid(table) || call([&] { return get_rel_persistence(table); }) == 't')
        return;
    if (concerns_all)
        note_any_definition_change();
    else
        note_changed_table(table);
}

void follow_command(Node *command) {
    if (IsA(command, ReassignOwnedStmt)) {
        auto *reassign = reinterpret_cast<ReassignOwnedStmt *>(command);
        follow("REASSIGN OWNED", [&](const Registry &registry) {
            Oid new_owner = call([&] { return get_rolespec_oid(reassign->newrole, false); });
            reassign_topics(registry, oids_of(reassign->roles), new_owner);
        });
    } else if (IsA(command, DropOwnedStmt)) {
        auto *drop = reinterpret_cast<DropOwnedStmt *>(command);
        follow("DROP OWNED",
               [&](const Registry &registry) { drop_topics_of(registry, oids_of(drop->roles)); });
    } else if (IsA(command, DropRoleStmt)) {
        follow("DROP ROLE", forget_dropped_roles);
    } else if (IsA(command, AlterTableStmt)) {
        follow_alter_table(reinterpret_cast<AlterTableStmt *>(command));
    }
}

bool is_followed(Node *command) {
    return command != nullptr && (IsA(command, ReassignOwnedStmt) || IsA(command, DropOwnedStmt) ||
                                  IsA(command, DropRoleStmt) || IsA(command, AlterTableStmt));
}

// Of roles, where the object access hook is silent. A transaction that was prepared may have
// changed some.
bool may_change_members(Node *command) {
    if (command == nullptr)
        return false;
    if (IsA(command, TransactionStmt))
        return reinterpret_cast<TransactionStmt *>(command)->kind == TRANS_STMT_COMMIT_PREPARED;
    return IsA(command, GrantRoleStmt);
}

void on_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
                ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
                DestReceiver *destination, QueryCompletion *completion) {
    auto run = previous_utility != nullptr ? previous_utility : standard_ProcessUtility;
    Node *command = statement->utilityStmt; // COMMIT frees the statement
    bool followed = is_followed(command);
    if (may_change_members(command))
        note_cached_change();
    run(statement, text, read_only_tree, context, params, environment, destination, completion);
    if (followed)
        enter([&] { follow_command(command); });
}

} // namespace

void follow_utility_commands() {
    previous_utility = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
}

} // namespace rtd::pg
