# Module system: options, definitions with conditions and priorities, and the sentence for what does not fit. As in nixpkgs,
# nothing is computed before it is asked for: who checks a configuration must force all of it.
lib:
let
  inherit (builtins)
    attrNames
    concatMap
    concatStringsSep
    filter
    foldl'
    functionArgs
    head
    intersectAttrs
    isAttrs
    isFunction
    isPath
    isString
    mapAttrs
    removeAttrs
    ;

  PLAIN = 100; # the priority of a definition that states none; the least number wins
  OPTION_DEFAULT = 1500;

  kind = value: if isAttrs value then value._type or "" else "";

  # ---------------------------------------------------------------------------------------------------- definitions

  mkOption = option: option // { _type = "option"; };
  mkEnableOption =
    what:
    mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether to enable ${what}.";
    };
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;

  # A set under a condition as sets whose values are under it: which options are defined is known before any condition is.
  spread =
    value:
    if kind value == "if" then
      map (mapAttrs (_: mkIf value.condition)) (spread value.content)
    else if kind value == "merge" then
      concatMap spread value.contents
    else if kind value == "override" then
      map (mapAttrs (_: mkOverride value.priority)) (spread value.content)
    else
      [ value ];

  # The values that a definition gives, each with its priority; none where its condition is false.
  settle =
    priority: value:
    if kind value == "if" then
      if value.condition then settle priority value.content else [ ]
    else if kind value == "merge" then
      concatMap (settle priority) value.contents
    else if kind value == "override" then
      settle value.priority value.content
    else
      [ { inherit priority value; } ];

  strongest =
    found:
    let
      least = foldl' (most: one: if one.priority < most then one.priority else most) 9999 found;
    in
    map (one: one.value) (filter (one: one.priority == least) found);

  # The value of an option or a key, from what is defined for it.
  resolve =
    where: type: found:
    let
      values = strongest found;
      wrong = filter (value: !type.check value) values;
    in
    if values == [ ] then
      throw "The option `${where}' was accessed but has no value defined. Try setting the option."
    else if wrong != [ ] then
      throw "A definition for option `${where}' is not of type `${type.name}'. It is: ${lib.types.show (head wrong)}"
    else
      type.merge where values;

  # ------------------------------------------------------------------------------------------------------- modules

  # The config that these sets define, checked against these options.
  walk =
    path: options: defined:
    let
      sets = concatMap spread defined;
      unknown = filter (name: !options ? ${name}) (concatMap attrNames sets);
      definitionsOf = name: concatMap (set: lib.optional (set ? ${name}) set.${name}) sets;
      valueOf =
        name: option:
        let
          where = concatStringsSep "." (path ++ [ name ]);
          defaults = lib.optional (option ? default) {
            priority = OPTION_DEFAULT;
            value = option.default;
          };
        in
        if kind option == "option" then
          resolve where option.type (concatMap (settle PLAIN) (definitionsOf name) ++ defaults)
        else
          walk (path ++ [ name ]) option (definitionsOf name);
    in
    if unknown == [ ] then
      mapAttrs valueOf options
    else
      throw "The option `${concatStringsSep "." (path ++ [ (head unknown) ])}' does not exist.";

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
    }:
    let
      arguments = specialArgs // { inherit lib config options; };
      load =
        module:
        let
          written = if isPath module || isString module then import module else module;
          set = if isFunction written then written (intersectAttrs (functionArgs written) arguments) else written;
          is_split = set ? config || set ? options;
        in
        [ (if is_split then set else { config = removeAttrs set [ "imports" ]; }) ] ++ concatMap load (set.imports or [ ]);
      loaded = concatMap load modules;
      join = old: new: old // mapAttrs (name: one: if old ? ${name} && kind one != "option" then join old.${name} one else one) new;
      options = foldl' join { } (map (module: module.options or { }) loaded);
      config = walk prefix options (map (module: module.config or { }) loaded);
    in
    {
      inherit config options;
    };
in
{
  inherit
    evalModules
    mkDefault
    mkEnableOption
    mkForce
    mkIf
    mkMerge
    mkOption
    mkOverride
    resolve
    settle
    ;
}
