//! The shapes of the JSON that commands print, as their help tells them.

pub(super) const CHECK_JSON: &str = "\
JSON: {\"effect\": EFFECT, \"reason\": CODE, \"revision\": N, \"obligations\"?: OBLIGATIONS}
  EFFECT       \"ALLOW\", \"DENY\" or \"REQUIRES_APPROVAL\"
  OBLIGATIONS  {\"not_after\": TIME, \"group\"?: ID, \"account_mode\"?: MODE, \"account\"?: ID,
                \"on_end\"?: [DUTY, ...]}; with an ALLOW of a session
  MODE         \"EXISTING\", \"JIT_NEW\" or \"JIT_REUSE\"
  DUTY         \"REMOVE_FROM_GROUP\" or \"DELETE_ACCOUNT\"";

pub(super) const EXPLAIN_JSON: &str = "\
JSON: {\"effect\": EFFECT, \"reason\": CODE, \"revision\": N, \"evaluated_at\": TIME, ...}
and, of an operation or a right:
       \"sides\": [SIDE, ...]
of a vault action:
       \"layers\": [LAYER, ...], \"ruling\"?: RULING
of a session:
       \"obligations\"?: OBLIGATIONS (as check has them),
       \"eligibilities\": [ELIGIBLE, ...], \"visible_levels\": [ID, ...]
  EFFECT      \"ALLOW\", \"DENY\" or \"REQUIRES_APPROVAL\"
  SIDE        {\"object\": \"Type:id\", \"outcome\": CODE, \"entries\": [ENTRY, ...],
               \"omitted_entries\": N, \"granting_levels\": [\"Type/Name\", ...],
               \"near_misses\": [MISS, ...]}
  ENTRY       {\"assignment\": ASSIGNMENT, \"qualifier\": QUALIFIER,
               \"standing\": STANDING, \"subject_path\": [HOP, ...],
               \"coverage\": {\"relation\": [HOP, ...], \"placement\": [HOP, ...]}}
  QUALIFIER   \"allowed\", \"denied\", \"disabled\" or \"unassigned\"
  STANDING    \"DECIDING\", \"MASKED\" or \"OUTWEIGHED\"
  MISS        {\"assignment\": ASSIGNMENT, \"gap\": GAP, \"subject_path\": [HOP, ...]}
  GAP         \"WINDOW\", \"ASSIGNEE\" or \"SCOPE\"
  LAYER       {\"entities\": [\"Type:id\", ...], \"shares\": [{\"share\": SHARE, \"deciding\": BOOL,
               \"subject_path\": [HOP, ...]}, ...]}
  RULING      {\"rule\": RULE, \"level\": LEVEL, \"owner\"?: \"person:ID\", \"layer\"?: N, \"personal\"?: BOOL}
  RULE        \"OWNER\", \"FULL_ANYWHERE\" or \"NEAREST_LAYER\"; layers count from 0
  ELIGIBLE    {\"to\": ACTOR, \"kind\": KIND, \"subject_path\": [HOP, ...]}
  HOP         {\"kind\": CODE, \"from\": THING, \"to\": THING,
               \"valid_from\"?: TIME, \"valid_until\"?: TIME}
  ASSIGNMENT  as in a bundle, with its id
  SHARE       as in a bundle";

pub(super) const DELEGATION_JSON: &str = "\
JSON: {\"effect\": EFFECT, \"reason\": CODE, \"revision\": N}
and with --explain:
       \"evaluated_at\": TIME, \"resource\"?: SIDE, \"recipient\"?: SIDE
  EFFECT      \"ALLOW\", \"DENY\" or \"REQUIRES_APPROVAL\"
  SIDE        {\"status\": STATUS, \"objects\": [OBJECT, ...], \"omitted_objects\": N}
  STATUS      \"DENIED\", \"HELD\" or \"MISSING\"
  OBJECT      {\"resource\": \"Type:id\", ...} or {\"type\": TYPE, \"location\": ID, ...}
              with \"status\": STATUS, \"alternatives\": [ALTERNATIVE, ...]
  ALTERNATIVE {\"operation\": NAME, \"declared\": BOOL, \"outcome\": CODE, \"entries\": [ENTRY, ...],
               \"omitted_entries\": N}
  ENTRY       {\"assignment\": ASSIGNMENT, \"qualifier\": QUALIFIER,
               \"standing\": STANDING, \"subject_path\": [HOP, ...],
               \"coverage\": {\"relation\": [HOP, ...], \"placement\": [HOP, ...]}}
  QUALIFIER   \"allowed\", \"denied\", \"disabled\" or \"unassigned\"
  STANDING    \"DECIDING\", \"MASKED\" or \"OUTWEIGHED\"
  HOP         {\"kind\": CODE, \"from\": THING, \"to\": THING,
               \"valid_from\"?: TIME, \"valid_until\"?: TIME}
  ASSIGNMENT  as in a bundle, with its id";

pub(super) const PERMISSIONS_JSON: &str = "\
JSON: {\"revision\": N, \"permissions\": [ITEM, ...]}
  ITEM  {\"kind\": KIND, \"name\": NAME, \"explanation\"?: EXPLANATION}
  KIND  \"operation\", \"right\", \"vault\" or \"session\"; the session without a level is named \"none\"
  EXPLANATION  with --explain: as `pdpctl explain` prints it";

pub(super) const RESOURCES_JSON: &str = "\
JSON: {\"revision\": N, \"resources\": [ITEM, ...]}
  ITEM  {\"resource\": \"Type:id\", \"explanation\"?: EXPLANATION}
  EXPLANATION  with --explain: as `pdpctl explain` prints it";

pub(super) const SUBJECTS_JSON: &str = "\
JSON: {\"revision\": N, \"subjects\": [ITEM, ...]}
  ITEM  {\"subject\": \"person:ID\", \"explanation\"?: EXPLANATION}; or \"account:ID\"
  EXPLANATION  with --explain: as `pdpctl explain` prints it";

pub(super) const APPROVERS_JSON: &str = "\
JSON: {\"revision\": N, \"approvers\": [ITEM, ...]}
  ITEM  {\"approver\": \"person:ID\", \"explanation\"?: EXPLANATION}
  EXPLANATION  with --explain: as `pdpctl explain`, or `pdpctl delegation --explain`, prints it";

pub(super) const APPLY_JSON: &str = "\
JSON: {\"revision\": N, \"dry_run\": BOOL, \"replayed\": BOOL,
       \"total_changes\": N, \"changes\": [CHANGE, ...],
       \"on_behalf_of\"?: \"person:ID\"}
  CHANGE  {\"kind\": KIND, \"name\": NAME, \"change\": WHAT}
  WHAT    \"created\", \"changed\" or \"removed\"";

pub(super) const EXPORT_JSON: &str = "\
JSON: {\"revision\": N, \"position\": POSITION, \"bundle\": BUNDLE}
  POSITION  what `watch --after` goes on from
  BUNDLE    the policy as a bundle, which may be applied";

pub(super) const GET_JSON: &str = "\
JSON: {\"revision\": N, \"kind\": KIND, \"name\": NAME, \"fact\": FACT}
  FACT  as in a bundle";

pub(super) const FACTS_JSON: &str = "\
JSON: {\"revision\": N, \"kind\": KIND, \"facts\": [{\"name\": NAME, \"fact\": FACT}, ...]}
  FACT  as in a bundle";

pub(super) const TEST_JSON: &str = "\
JSON: {\"checks\": N, \"failed\": N, \"unusable\": N, \"files\": [FILE, ...]}
  FILE     {\"file\": PATH, \"now\": TIME, \"checks\": N, \"failures\": [FAILURE, ...]},
           or {\"file\": PATH, \"problems\": [\"FILE:LINE:COLUMN: ...\", ...]}
           for one that cannot be used
  FAILURE  {\"line\": N, \"column\": N, \"name\"?: NAME, \"question\": TEXT,
            \"expected\": TEXT, \"actual\": TEXT, \"explanation\"?: TEXT}";

pub(super) const HEALTH_JSON: &str = "\
JSON: {\"service\": NAME, \"status\": STATUS}
  STATUS  \"SERVING\", \"NOT_SERVING\" or \"UNKNOWN\"";
