# Types of options: what a definition must be, and how several become one.
lib:
let
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatMap
    filter
    head
    isAttrs
    isBool
    isFloat
    isInt
    isList
    isPath
    isString
    listToAttrs
    toJSON
    ;
  inherit (import ./modules.nix lib) evalModules resolve settle;

  make = name: check: merge: { inherit name check merge; };
  scalar = name: check: make name check same;

  same =
    where: values:
    if all (value: value == head values) values then
      head values
    else
      throw "The option `${where}' has conflicting definition values: ${lib.concatMapStringsSep ", " types.show values}";

  types = {
    # A value as a sentence shows it, never long.
    show =
      value:
      if isAttrs value then
        "a set of ${toString (attrNames value)}"
      else if builtins.isFunction value then
        "a function"
      else if isList value then
        "a list"
      else
        toJSON value;
    bool = scalar "boolean" isBool;
    str = scalar "string" isString;
    int = scalar "signed integer" isInt;
    float = scalar "floating point number" isFloat;
    port = scalar "16 bit unsigned integer; between 0 and 65535 (both inclusive)" (v: isInt v && v >= 0 && v < 65536);
    path = scalar "absolute path" (v: isPath v || (isString v && lib.hasPrefix "/" v) || v ? outPath);
    package = scalar "package" (v: isAttrs v && v.type or "" == "derivation");
    unspecified = scalar "unspecified value" (_: true);
    raw = types.unspecified;
    lines = make "strings concatenated with \"\\n\"" isString (_: lib.concatStringsSep "\n");
    enum = values: scalar "one of ${lib.concatMapStringsSep ", " toJSON values}" (v: builtins.elem v values);
    nullOr =
      of:
      make "null or ${of.name}" (v: v == null || of.check v) (
        where: values: if all (v: v == null) values then null else of.merge where values
      );
    oneOf =
      choices:
      make "one of: ${lib.concatMapStringsSep ", " (one: one.name) choices}" (v: any (one: one.check v) choices) (
        where: values: (head (filter (one: all one.check values) (choices ++ [ types.unspecified ]))).merge where values
      );
    either = one: other: types.oneOf [ one other ];
    listOf =
      of:
      make "list of ${of.name}" isList (
        where: values: concatMap (value: map (one: resolve where of (settle 100 one)) value) values
      );
    # A key whose definitions are all under false conditions is not there.
    attrsOf =
      of:
      make "attribute set of ${of.name}" (v: isAttrs v && !v ? outPath) (
        where: values:
        let
          settled = name: concatMap (set: lib.optionals (set ? ${name}) (settle 100 set.${name})) values;
          there = filter (name: settled name != [ ]) (lib.unique (concatMap attrNames values));
        in
        listToAttrs (map (name: lib.nameValuePair name (resolve "${where}.${name}" of (settled name))) there)
      );
    # module: the options of each, as a module. A definition only defines: an option may itself be called "options".
    submodule =
      module:
      make "submodule" isAttrs (
        where: values:
        (evalModules {
          modules = [ module ] ++ map (value: { config = value; }) values;
          prefix = [ where ];
        }).config
      );
    anything = types.unspecified // {
      name = "anything";
      merge =
        where: values:
        if all (v: isAttrs v && !v ? outPath) values then
          (types.attrsOf types.anything).merge where values
        else if all isList values then
          concatLists values
        else
          same where values;
    };
  };
in
types
