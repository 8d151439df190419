# Library: what xnode's files use of nixpkgs' library, by the same names and with the same meaning.
let
  inherit (builtins)
    any
    attrNames
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    genList
    head
    isAttrs
    isFunction
    isList
    length
    listToAttrs
    mapAttrs
    match
    readFile
    replaceStrings
    stringLength
    substring
    tail
    ;
  types = import ./types.nix lib;
  modules = import ./modules.nix lib;
  lib = {
    inherit
      any
      attrNames
      concatMap
      concatStringsSep
      elem
      elemAt
      filter
      head
      isAttrs
      isFunction
      isList
      length
      listToAttrs
      mapAttrs
      match
      tail
      types
      ;
    inherit (modules)
      evalModules
      mkDefault
      mkEnableOption
      mkForce
      mkIf
      mkMerge
      mkOption
      mkOverride
      ;
    nameValuePair = name: value: { inherit name value; };
    genAttrs = names: f: listToAttrs (map (name: lib.nameValuePair name (f name)) names);
    mapAttrs' = f: set: listToAttrs (lib.mapAttrsToList f set);
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    filterAttrs =
      keeps: set:
      listToAttrs (map (name: lib.nameValuePair name set.${name}) (filter (name: keeps name set.${name}) (attrNames set)));
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    optionalAttrs = condition: set: if condition then set else { };
    optionalString = condition: text: if condition then text else "";
    concatStrings = concatStringsSep "";
    concatMapStringsSep = separator: f: values: concatStringsSep separator (map f values);
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    removePrefix =
      prefix: text:
      if lib.hasPrefix prefix text then substring (stringLength prefix) (stringLength text) text else text;
    toUpper =
      replaceStrings (lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz") (
        lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
      );
    stringToCharacters = text: genList (at: substring at 1 text) (stringLength text);
    toInt = text: builtins.fromJSON text;
    unique = builtins.foldl' (kept: value: if elem value kept then kept else kept ++ [ value ]) [ ];
    subtractLists = removed: filter (value: !elem value removed);
    importJSON = path: builtins.fromJSON (readFile path);
    makeBinPath = lib.concatMapStringsSep ":" (package: "${package}/bin");
    makeLibraryPath = lib.concatMapStringsSep ":" (package: "${package}/lib");
    getExe = package: "${package}/bin/${package.meta.mainProgram or package.pname}";
    getExe' = package: name: "${package}/bin/${name}";
    literalExpression = text: { inherit text; };
    escapeShellArg = value: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString value)}'";
    licenses.mit.spdxId = "MIT";
  };
in
lib
