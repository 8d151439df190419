{
  description = "xnode, the node daemon of a decentralized compute marketplace, and xnodeOS, a host that is one";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEach = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
    in
    {
      packages = forEach (
        pkgs:
        let
          of = given: pkgs.callPackage ./nix/package.nix given;
          pythons = [
            "python311"
            "python312"
            "python313"
          ];
          # nixpkgs drops a Python when its time is over.
          there = lib.filter (name: pkgs ? ${name}) pythons;
        in
        rec {
          xnode = of { };
          default = xnode;
          job-image = pkgs.callPackage ./nix/job-image.nix { };
        }
        // lib.listToAttrs (map (name: lib.nameValuePair "xnode-${name}" (of { python = pkgs.${name}; })) there)
      );

      apps = forEach (
        pkgs:
        let
          inherit (self.packages.${pkgs.stdenv.hostPlatform.system}) xnode job-image;
          program = file: {
            type = "app";
            program = "${file}";
          };
        in
        {
          default = program (lib.getExe xnode);
          # As root: sudo nix run .#demo
          demo = program (pkgs.callPackage ./nix/demo.nix { inherit xnode job-image; });
        }
      );

      devShells = forEach (pkgs: {
        default = pkgs.callPackage ./nix/shell.nix { };
      });

      overlays.default = final: _: { xnode = final.callPackage ./nix/package.nix { }; };

      nixosModules = {
        xnode = import ./nix/module.nix { inherit self; };
        xnodeos = import ./nix/image.nix;
        default = self.nixosModules.xnode;
      };

      # A host that is only this node: xnodeos { settings = { ... }; }; what else it needs goes into modules.
      lib.xnodeos =
        {
          settings,
          role ? "provider",
          system ? "x86_64-linux",
          modules ? [ ],
        }:
        lib.nixosSystem {
          inherit system;
          modules = [
            self.nixosModules.xnode
            self.nixosModules.xnodeos
            {
              services.xnode = {
                enable = true;
                inherit role settings;
                openFirewall = true;
              };
            }
          ]
          ++ modules;
        };

      nixosConfigurations.example = self.lib.xnodeos { settings = import ./nix/example-settings.nix; };

      checks = forEach (
        pkgs:
        let
          inherit (pkgs.stdenv.hostPlatform) system;
        in
        {
          package = self.packages.${system}.xnode;
          one-paid-job = pkgs.testers.runNixOSTest (import ./nix/vm-test.nix { inherit pkgs self; });
        }
        // lib.optionalAttrs (system == "x86_64-linux") {
          image = self.nixosConfigurations.example.config.system.build.finalImage;
          update = self.nixosConfigurations.example.config.system.build.update;
        }
      );
    };
}
