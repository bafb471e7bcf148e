// Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
// Change godwit.yaml and render again rather than this file.

@description('The region of everything here.')
param location string = resourceGroup().location

@description('How long logs and requests are kept.')
param logRetentionInDays int = 30

@description('Where the Key Vaults are.')
param keyVaultResourceGroup string = resourceGroup().name

@description('Where the registry of the image is.')
param registryResourceGroup string = resourceGroup().name

// Names that the whole of Azure shares end in what no one else has.
var token = uniqueString(resourceGroup().id, 'fraud')
var appName = 'fraud-${token}'

// Azure's built-in roles, by their ids.
var roles = {
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  acrPull: '7f951dda-4ed3-4680-a7ca-43fe172d538d'
}

// Who the function is. No key or password is anywhere in these files.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: appName
  location: location
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: appName
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: logRetentionInDays
  }
}

resource managedEnvironment 'Microsoft.App/managedEnvironments@2025-07-01' = {
  name: appName
  location: location
  properties: {
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
    // To the workspace, by the setting below and so without its key.
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
    // The subnet is delegated to Microsoft.App/environments.
    // The app's address is one within the network.
    vnetConfiguration: {
      infrastructureSubnetId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/acme/subnets/functions'
      internal: true
    }
  }
}

resource logged 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: managedEnvironment
  name: 'logs'
  properties: {
    workspaceId: logs.id
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}

module readsSecrets 'modules/vault-role.bicep' = {
  name: 'vault-role-readsSecrets'
  scope: resourceGroup(keyVaultResourceGroup)
  params: {
    vaultName: 'acme'
    identityId: identity.id
    principalId: identity.properties.principalId
    roleId: roles.keyVaultSecretsUser
  }
}

module pullsImages 'modules/registry-role.bicep' = {
  name: 'registry-role-pullsImages'
  scope: resourceGroup(registryResourceGroup)
  params: {
    registryName: 'acme'
    identityId: identity.id
    principalId: identity.properties.principalId
    roleId: roles.acrPull
  }
}

resource app 'Microsoft.App/containerApps@2025-07-01' = {
  name: 'fraud'
  location: location
  tags: {
    'godwit-package': 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: managedEnvironment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      // The function itself checks who calls.
      ingress: {
        external: true
        targetPort: 8080
        transport: 'auto'
        allowInsecure: false
      }
      registries: [
        {
          server: 'acme${environment().suffixes.acrLoginServer}'
          identity: identity.id
        }
      ]
      secrets: [
        {
          name: 'secret-1'
          keyVaultUrl: 'https://acme${environment().suffixes.keyvaultDns}/secrets/api-keys'
          identity: identity.id
        }
      ]
    }
    template: {
      terminationGracePeriodSeconds: 30
      containers: [
        {
          name: 'fraud'
          image: 'acme.azurecr.io/scoring/fraud@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
          env: [
            {
              // The server's life is as on Cloud Run: it listens on 8080 and drains after SIGTERM.
              name: 'GODWIT_TARGET'
              value: 'cloudrun'
            }
            {
              name: 'GODWIT_API_KEYS'
              secretRef: 'secret-1'
            }
          ]
          probes: [
            {
              // A machine with a GPU takes minutes, and a large model too.
              type: 'Startup'
              httpGet: {
                path: '/v2/health/ready'
                port: 8080
              }
              periodSeconds: 10
              failureThreshold: 60
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/v2/health/ready'
                port: 8080
              }
              periodSeconds: 5
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/v2/health/live'
                port: 8080
              }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
            }
          ]
        }
      ]
      scale: {
        minReplicas: 1
        maxReplicas: 10
        // Above so many requests at a time in each replica there are more replicas.
        rules: [
          {
            name: 'http'
            http: {
              metadata: {
                concurrentRequests: '20'
              }
            }
          }
        ]
      }
    }
  }
  dependsOn: [
    readsSecrets
    pullsImages
  ]
}

output AZURE_RESOURCE_GROUP string = resourceGroup().name
output FUNCTION_URL string = 'https://${app.properties.configuration.ingress.fqdn}'
