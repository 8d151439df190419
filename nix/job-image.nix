# A container image for jobs of the demo and of the machine test: Python and a shell.
{
  bash,
  buildEnv,
  coreutils,
  dockerTools,
  python313,
}:
dockerTools.buildImage {
  name = "python";
  tag = "latest";
  copyToRoot = buildEnv {
    name = "root";
    paths = [
      bash
      coreutils
      python313
    ];
    pathsToLink = [ "/bin" ];
  };
  config.Env = [
    "PATH=/bin"
    "LANG=C.UTF-8"
    "PYTHONUNBUFFERED=1"
  ];
}
