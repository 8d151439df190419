# A set as the text of a TOML file: the plain keys of a table first, then the tables below it.
lib:
let
  inherit (builtins)
    isAttrs
    isList
    isPath
    match
    toJSON
    ;
  isTable = value: isAttrs value && !value ? outPath;
  key = name: if match "[A-Za-z0-9_-]+" name == null then toJSON name else name;
  text =
    value:
    if isList value then
      "[${lib.concatMapStringsSep ", " text value}]"
    else if isTable value then
      "{ ${lib.concatStringsSep ", " (lib.mapAttrsToList (name: one: "${key name} = ${text one}") value)} }"
    else if isPath value then
      toJSON "${value}"
    else
      toJSON value;
  table =
    path: set:
    lib.optionalString (path != [ ]) "[${lib.concatMapStringsSep "." key path}]\n"
    + lib.concatStrings (
      lib.mapAttrsToList (name: one: "${key name} = ${text one}\n") (lib.filterAttrs (_: one: !isTable one) set)
    )
    + lib.concatStrings (lib.mapAttrsToList (name: table (path ++ [ name ])) (lib.filterAttrs (_: isTable) set));
in
table [ ]
