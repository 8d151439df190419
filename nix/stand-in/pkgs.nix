# Packages: each a derivation that says its name and that nothing builds, but for what xnode's own files compute with.
{ lib, system }:
let
  derive =
    name: rest:
    derivation (
      {
        inherit name system;
        builder = "/bin/sh";
      }
      // rest
    );
  # An empty package, whose program has its own name.
  package =
    name:
    derive name {
      args = [
        "-c"
        "/bin/mkdir -p $out/bin"
      ];
    }
    // {
      pname = name;
      version = "0";
      meta.mainProgram = name;
    };
  file =
    name: text:
    derive name {
      args = [
        "-c"
        "printf %s \"$text\" >$out"
      ];
      inherit text;
    }
    // {
      inherit text;
    };
  script = name: text: file name "#!/bin/sh\n${text}";

  pythonOf = version: package "python3-${version}" // {
    interpreter = "/usr/bin/python${version}";
    pythonVersion = version;
    sitePackages = "lib/python${version}/site-packages";
    pkgs = lib.genAttrs [ "hatchling" "pip" "setuptools" "wheel" ] package;
  };

  named = lib.genAttrs [
    "autoPatchelfHook"
    "bash"
    "conmon"
    "coreutils"
    "crun"
    "curl"
    "e2fsprogs"
    "foundry"
    "gmp"
    "gnugrep"
    "gnumake"
    "iproute2"
    "jq"
    "kmod"
    "makeWrapper"
    "mmdebstrap"
    "nftables"
    "nodejs"
    "podman"
    "ruff"
    "skopeo"
    "systemd"
    "util-linux"
    "uv"
    "zlib"
  ] package;

  pkgs = named // {
    inherit lib;
    stdenv = {
      hostPlatform = {
        inherit system;
        efiArch = if system == "x86_64-linux" then "x64" else "aa64";
      };
      cc.cc.lib = package "gcc-lib";
      mkDerivation = import ./stdenv.nix { inherit derive lib; };
    };
    python311 = pythonOf "3.11";
    python312 = pythonOf "3.12";
    python313 = pythonOf "3.13";

    # From what is in the store already, by its hash; see `make nix-build`.
    fetchPypi =
      {
        pname,
        version,
        sha256,
        format ? "setuptools",
        dist ? "",
        python ? "",
        abi ? "",
        platform ? "",
      }:
      derive
        (
          if format == "wheel" then
            "${pname}-${version}-${python}-${abi}-${platform}.whl"
          else
            "${pname}-${version}.tar.gz"
        )
        {
          builder = "/bin/false";
          outputHashMode = "flat";
          outputHashAlgo = "sha256";
          outputHash = sha256;
          inherit dist;
        };

    runtimeShell = "/bin/sh";
    writeText = file;
    writeShellScript = script;
    writeShellScriptBin = name: text: script name text // { meta.mainProgram = name; };
    runCommand =
      name: environment: text:
      derive name {
        args = [
          "-c"
          text
        ];
        tools = environment.nativeBuildInputs or [ ];
      }
      // {
        commands = text;
      };
    mkShell = environment: derive "shell" { inherit (environment) packages; };
    buildEnv = environment: derive environment.name { inherit (environment) paths; };
    dockerTools.buildImage = image: derive "image-${image.name}.tar.gz" { content = image.copyToRoot; };

    formats.toml = _: {
      type = import ./toml.nix lib;
      generate = name: value: file name (import ./toml-text.nix lib value);
    };

    callPackage =
      written: given:
      let
        f = if builtins.isFunction written then written else import written;
      in
      f (builtins.intersectAttrs (builtins.functionArgs f) pkgs // given);

    testers.runNixOSTest =
      test:
      let
        nodes = lib.mapAttrs (
          _: module:
          (lib.nixosSystem {
            inherit system;
            modules = [ module ];
          }).config
        ) test.nodes;
        text = if builtins.isFunction test.testScript then test.testScript { inherit nodes; } else test.testScript;
      in
      derive "vm-test-${test.name}" {
        script = text;
        systems = lib.mapAttrsToList (_: node: node.system.build.toplevel) nodes;
      }
      // {
        inherit nodes;
        testScript = text;
      };
  };
in
pkgs
